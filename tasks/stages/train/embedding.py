"""An embedding that learns only the rows of tokens that occur. In a small encoder the embedding is half of all weights,
and nearly all of its rows have no gradient at any step.

Such a row does not change under an optimizer that steps each weight by its own gradients without decay: Adam's step is
m / (√v + ε), and m is 0. Leaving the rows out is the same training, without gradients, norms and steps of millions of
zeros.
"""

from collections.abc import Iterable

import torch
from torch import nn

from tasks.dataset.encoded import Encoded

ELEMENTWISE = ("adamw_torch", "adamw_torch_fused", "sgd", "rmsprop", "adagrad")  # values of train.optim


class Narrow(nn.Embedding):  # type: ignore[misc]
    """The rows of `whole` for `tokens`; IndexError for other tokens."""

    def __init__(self, whole: nn.Embedding, tokens: torch.Tensor) -> None:
        weight = whole.weight.detach()[tokens].clone()
        place = torch.full((whole.num_embeddings,), -1, device=weight.device)
        place[tokens] = torch.arange(len(tokens), device=weight.device)
        padding = whole.padding_idx
        super().__init__(*weight.shape, padding_idx=None if padding is None else int(place[padding]), _weight=weight)
        self.weight.requires_grad_(whole.weight.requires_grad)
        self.rows = whole.weight.detach()  # of all tokens, as the parent has them
        self.register_buffer("tokens", tokens.to(weight.device), persistent=False)
        self.register_buffer("place", place, persistent=False)

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """(…) token ids → (…, width)."""
        return super().forward(self.place[input])

    def whole(self) -> nn.Embedding:
        """An embedding of all rows, with the learnt ones in place."""
        rows = self.rows.to(self.weight.device, copy=True)
        rows[self.tokens] = self.weight.detach()
        padding = None if self.padding_idx is None else int(self.tokens[self.padding_idx])
        return nn.Embedding(*rows.shape, padding_idx=padding, _weight=rows)


def narrow(body: nn.Module, encoded: Iterable[Encoded], pad_token_id: int) -> None:
    """Remove the rows of tokens that are not in `encoded` from the embedding of `body`, if it learns and is not tied to
    a head.
    """
    try:
        whole = body.get_input_embeddings()
    except NotImplementedError:  # a body that hashes, or reads bytes
        return
    if type(whole) is not nn.Embedding or not whole.weight.requires_grad:
        return
    owners = [name for name, weight in body.named_parameters(remove_duplicate=False) if weight is whole.weight]
    if len(owners) > 1:
        return
    paddings = (pad_token_id, whole.padding_idx, getattr(body.config, "pad_token_id", None))  # a body may pad by itself
    kept = {token for token in paddings if token is not None}
    for row in encoded:
        kept.update(row["input_ids"])
    body.set_input_embeddings(Narrow(whole, torch.tensor(sorted(kept))))


def widen(body: nn.Module) -> None:
    """Restore all rows of the embedding of a narrowed `body`; others are unchanged."""
    for narrowed in [module for module in body.modules() if isinstance(module, Narrow)]:
        body.set_input_embeddings(narrowed.whole())
