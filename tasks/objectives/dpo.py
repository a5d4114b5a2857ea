"""Direct preference optimisation (Rafailov et al. 2023, arXiv:2305.18290), against a stored reference."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from tasks import objectives
from tasks.dataset import compared
from tasks.dataset.compared import Compared
from tasks.dataset.encoded import Batch
from tasks.dataset.rows import Prepared, Splits
from tasks.models import lm
from tasks.section import Section

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PreTrainedTokenizerBase as Tokenizer

summary = "to prefer one answer over another, while staying close to a reference"
eats = frozenset({"preference"})
head: objectives.Head = "lm"
needs_parent = False
needs_reference = True
shares_prefix = True
rate_share = 0.01  # 1e-6 for full tuning of 135M (alignment-handbook, recipes/smollm2), 5e-6 for QLoRA of 7B
watch = ("eval_loss", False)
packs = objectives.never_packs
architectures = lm.ARCHITECTURES
processor, parent = lm.processor, lm.parent
with_head, body, with_body, save_head = lm.with_head, lm.body, lm.with_body, lm.save_head
collate, trained_on, tokens_read = compared.collate, compared.trained_on, compared.tokens_read


class Params(Section):
    """DPO and its variants; names as in trl. The same `beta` means other things to `ipo`, whose log-probabilities are
    means of tokens, as in trl, and to the others, whose are sums.
    """

    kind: Literal["dpo"]
    loss_type: Literal["sigmoid", "ipo", "robust"] = Field(
        default="sigmoid",
        description="sigmoid: arXiv:2305.18290; ipo: a margin of 1/(2 beta) a token, not more (arXiv:2310.12036); "
        "robust: for preferences of which some are wrong (arXiv:2403.00409)",
    )
    beta: float = Field(
        default=0.1, gt=0, le=10, description="strength of the penalty for departing from the reference"
    )
    label_smoothing: float = Field(default=0.0, ge=0, lt=0.5, description="of robust: the share of wrong preferences")
    sft_weight: float = Field(
        default=0.0, ge=0, le=100, description="weight of the chosen answers' negative log-likelihood a token"
    )

    @model_validator(mode="after")
    def _smooths_if_robust(self) -> "Params":
        if bool(self.label_smoothing) != (self.loss_type == "robust"):
            raise ValueError(
                "loss_type robust and label_smoothing, the share of wrong preferences, go together: set both, or none"
            )
        return self


def check(processor: "Tokenizer", rows: Splits) -> None:
    """Raise AnnealError if the chat template does not fit the rows with either answer, or a reference is missing."""
    lm.check_both(processor, rows)
    compared.check_references("dpo", rows)


def encode(params: Params, tokenizer: "Tokenizer", row: Prepared) -> Compared:
    """Both answers as sft encodes one."""
    return compared.pair(tokenizer, row)


def arrange(params: Params, encoded: Sequence[Compared], max_length: int) -> tuple[list[Compared], int]:
    """One pair a row; pairs with a longer answer are left out."""
    return compared.arrange(encoded, max_length)


def loss(params: Params, model: "nn.Module", batch: Batch, num_items: "Tensor | None") -> "Tensor":
    """The mean over pairs of `losses`, plus the weighted negative log-likelihood a token of the chosen answers."""
    return measured(params, model, batch, num_items)[0]


def measured(
    params: Params, model: "nn.Module", batch: Batch, num_items: "Tensor | None"
) -> "tuple[Tensor, dict[str, Tensor]]":
    """(the loss, figures of the pairs named as in trl)."""
    values, lengths = lm.answer_log_probabilities(model, batch), lm.answer_lengths(batch)
    ratios = values - batch["reference"]
    total = losses(params, ratios, lengths).mean()
    if params.sft_weight:
        total = total - params.sft_weight * values.chunk(2)[0].sum() / lengths.chunk(2)[0].sum()
    return compared.of_step(total, batch, num_items), compared.figures(params.beta, values, ratios)


def losses(params: Params, ratios: "Tensor", lengths: "Tensor") -> "Tensor":
    """(pairs,): the loss of each, of the log-ratios of tuned to reference (chosen, then rejected), in nats.

    With margin m = ratio(chosen) - ratio(rejected) and s the sigmoid: sigmoid -log s(βm); robust with a share e of
    wrong preferences (-(1 - e) log s(βm) + e log s(-βm)) / (1 - 2e); ipo (m' - 1/(2β))², where m' is of
    ratios divided by `lengths`.
    """
    import torch

    log_sigmoid = torch.nn.functional.logsigmoid
    chosen, rejected = (ratios / lengths if params.loss_type == "ipo" else ratios).chunk(2)
    if params.loss_type == "ipo":
        squares: Tensor = (chosen - rejected - 1 / (2 * params.beta)) ** 2
        return squares
    margin, wrong = params.beta * (chosen - rejected), params.label_smoothing
    smoothed: Tensor = ((wrong - 1) * log_sigmoid(margin) + wrong * log_sigmoid(-margin)) / (1 - 2 * wrong)
    return smoothed
