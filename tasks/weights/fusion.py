"""AdapterFusion (Pfeiffer et al. 2021, arXiv:2005.00247): attention over the frozen bottleneck adapters of a block.

h ← h + (I + W) Σᵢ sᵢ aᵢ, where aᵢ is what adapter i adds, and s = softmax over i of (Q h + b)ᵀ K aᵢ. I + W is the
paper's V, which it draws to I by a penalty: here W begins as zero, and weight_decay draws it there. V is linear, so
it is applied once, to the sum. What is learnt is Q, b, K and W.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import nn

from tasks.errors import AnnealError
from tasks.weights import bottleneck
from tasks.weights.bottleneck import Bottleneck

NAME, FILE = "fusion", "adapter_model.safetensors"
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


def fill_part(model: nn.Module, place: int, name: str, folder: Path) -> None:
    """Put what the model `name` learnt into the adapters at this place; AnnealError if they are of other blocks."""
    from safetensors.torch import load_file

    inner = f".{NAME}.adapters.{place}."
    weights = {key: weight for key, weight in model.named_parameters() if inner in key}
    saved = {
        key.replace(f".{bottleneck.NAME}.", inner): value for key, value in load_file(folder / bottleneck.FILE).items()
    }
    if saved.keys() != weights.keys():
        raise AnnealError(f"the adapter of {name} is for other blocks than the parent's; train it on this parent.")
    _copy(saved, weights)


def save(model: nn.Module, folder: Path) -> None:
    """The weights of adapters and fusions; equal weights, equal bytes."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    weights = {key: value.detach().contiguous().cpu() for key, value in _weights(model).items()}
    save_file(weights, folder / FILE, metadata={"format": "pt"})


def fill(model: nn.Module, folder: Path) -> None:
    """Put the weights in `folder` into `model`; KeyError if they are of other blocks."""
    from safetensors.torch import load_file

    saved, weights = load_file(folder / FILE), _weights(model)
    if saved.keys() != weights.keys():
        raise KeyError(f"{folder} holds adapters for other blocks than the parent's")
    _copy(saved, weights)


def _weights(model: nn.Module) -> dict[str, nn.Parameter]:
    return {key: weight for key, weight in model.named_parameters() if f".{NAME}." in key}


def _copy(values: Mapping[str, torch.Tensor], weights: Mapping[str, nn.Parameter]) -> None:
    with torch.no_grad():
        for key, value in values.items():
            weights[key].copy_(value)
