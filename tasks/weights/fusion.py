"""AdapterFusion (Pfeiffer et al. 2021, arXiv:2005.00247): attention over the frozen bottleneck adapters of a block.

h ← h + (I + W) Σᵢ sᵢ aᵢ, where aᵢ is what adapter i adds, and s = softmax over i of (Q h + b)ᵀ K aᵢ. I + W is the
paper's V, which it draws to I by a penalty: here W begins as zero, and weight_decay draws it there. V is linear, so
it is applied once, to the sum. What is learnt is Q, b, K and W.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from tasks.weights import bottleneck
from tasks.weights.bottleneck import Bottleneck

NAME = "fusion"
START = 0.02  # standard deviation of Q and K, as of BERT's layers: all adapters count almost the same at first


class Fusion(nn.Module):  # type: ignore[misc]
    """x → what its adapters add together; the weights are held in fp32."""

    def __init__(self, width: int, size: int, values: bool, adapters: Sequence[Bottleneck]) -> None:
        super().__init__()
        self.adapters, self.enabled = nn.ModuleList(adapters).requires_grad_(False), True
        place = {"device": adapters[0].down.weight.device, "dtype": torch.float32}
        self.query = nn.Linear(width, size, **place)
        self.key = nn.Linear(width, size, bias=False, **place)  # a bias would add the same to each adapter's score
        self.value = nn.Linear(width, width, bias=False, **place) if values else None
        for layer in (self.query, self.key):
            nn.init.normal_(layer.weight, std=START)
        nn.init.zeros_(self.query.bias)
        if self.value is not None:
            nn.init.zeros_(self.value.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x: (…, width) → (…, width)."""
        added = torch.stack([adapter(x) for adapter in self.adapters], dim=-2)
        mixed = (self.shares(x, added).to(x.dtype).unsqueeze(-2) @ added).squeeze(-2)
        return mixed if self.value is None else mixed + bottleneck.linear(mixed, self.value)

    def shares(self, x: torch.Tensor, added: torch.Tensor) -> torch.Tensor:
        """x: (…, width), added: (…, adapters, width) → (…, adapters), in fp32: how much each adapter counts."""
        query = bottleneck.linear(x, self.query).unsqueeze(-1)
        scores = (bottleneck.linear(added, self.key) @ query).squeeze(-1)
        return scores.float().softmax(-1)


def put_on(
    model: nn.Module, placement: str, size: int | None, values: bool, parts: Sequence[Mapping[str, object]]
) -> nn.Module:
    """`model`, frozen, with a trainable fusion of as many adapters as there are `parts` (the settings of each) on each
    block; `model.disable_adapter()` disables it temporarily.
    """
    model.requires_grad_(False)
    width, fused = model.config.get_text_config().hidden_size, []
    for block in bottleneck.places(model, placement):
        device = next(block.parameters()).device
        adapters = [
            Bottleneck(width, int(str(part["size"])), str(part["activation"]), float(str(part["scaling"])), device)
            for part in parts
        ]
        fusion = Fusion(width, size or width, values, adapters)
        block.add_module(NAME, fusion)
        bottleneck.hook(block, fusion, placement)
        fused.append(fusion)
    model.disable_adapter = lambda: bottleneck.disabled(fused)
    return model
