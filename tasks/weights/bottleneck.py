"""Bottleneck adapters: W_up f(W_down x), two small layers with a non-linearity between them, on or beside the blocks
of a frozen parent.

Houlsby et al. 2019 (arXiv:1902.00751) put one after each attention and each MLP, before the residual is added:
h ← h + W_up f(W_down h), where h is what the block returns. He et al. 2022 (arXiv:2110.04366, "parallel") put one
beside the MLP: h ← h + s W_up f(W_down x), where x is what the MLP reads. Both begin with W_up = 0: as the parent.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias

import torch
from torch import nn
from transformers.activations import ACT2FN

from tasks.errors import AnnealError

# The names that models have for the two blocks of a layer.
ATTENTION = ("attention", "self_attn", "attn", "self_attention", "SelfAttention")
MLP = ("mlp", "feed_forward", "ffn", "DenseReluDense")
PLACEMENTS = {"houlsby": (ATTENTION, MLP), "parallel": (MLP,)}
Output: TypeAlias = "torch.Tensor | tuple[torch.Tensor, ...]"  # of a block
NAME, FILE = "bottleneck", "adapter_model.safetensors"
STACK = "stack"  # NAME where several stand on each other


class Adapter(Protocol):
    """What may be attached to a block: a module with a switch."""

    enabled: bool

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """What is added to the block's output."""
        ...


@dataclass(frozen=True)
class Layer:
    """What an adapter on each block is like; see the settings of the tuner."""

    placement: str
    size: int
    activation: str
    scaling: float


class Bottleneck(nn.Module):  # type: ignore[misc]
    """x → s W_up f(W_down x + b_down) + s b_up, in the dtype of x; the weights are held in fp32."""

    def __init__(self, width: int, size: int, activation: str, scaling: float, device: torch.device) -> None:
        super().__init__()
        self.down = nn.Linear(width, size, device=device, dtype=torch.float32)
        self.up = nn.Linear(size, width, device=device, dtype=torch.float32)
        self.activation, self.scaling, self.enabled = ACT2FN[activation], scaling, True
        nn.init.zeros_(self.down.bias)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x: (…, width) → (…, width)."""
        low = self.activation(linear(x, self.down))
        return self.scaling * linear(low, self.up)


def linear(x: torch.Tensor, layer: nn.Linear) -> torch.Tensor:
    """`layer` in the dtype of x."""
    bias = None if layer.bias is None else layer.bias.to(x.dtype)
    return nn.functional.linear(x, layer.weight.to(x.dtype), bias)


def put_on(model: nn.Module, placement: str, size: int, activation: str, scaling: float) -> nn.Module:
    """`model`, frozen, with trainable adapters on its blocks; `model.disable_adapter()` disables them temporarily."""
    model.requires_grad_(False)
    width, adapters = model.config.get_text_config().hidden_size, []
    for block in places(model, placement):
        adapter = Bottleneck(width, size, activation, scaling, next(block.parameters()).device)
        block.add_module(NAME, adapter)
        adapters.append(adapter)
        hook(block, adapter, placement)
    model.disable_adapter = lambda: disabled(adapters)
    return model


def stack_on(model: nn.Module, layers: Sequence[Layer]) -> nn.Module:
    """`model`, frozen, with the adapters of `layers` on its blocks, each on what the ones before it have added; those
    of the last layer learn. `model.disable_adapter()` disables all of them temporarily.
    """
    model.requires_grad_(False)
    width, adapters = model.config.get_text_config().hidden_size, []
    for place, layer in enumerate(layers):
        for block in places(model, layer.placement):
            device = next(block.parameters()).device
            adapter = Bottleneck(width, layer.size, layer.activation, layer.scaling, device)
            adapter.requires_grad_(place == len(layers) - 1)
            if not hasattr(block, STACK):
                block.add_module(STACK, nn.ModuleDict())
            block.get_submodule(STACK).add_module(str(place), adapter)
            adapters.append(adapter)
            hook(block, adapter, layer.placement)  # hooks are called in the order in which they were added
    model.disable_adapter = lambda: disabled(adapters)
    return model


def hook(block: nn.Module, adapter: "Adapter", placement: str) -> None:
    """Have the `adapter` add to what the `block` returns."""
    block.register_forward_hook(_beside(adapter) if placement == "parallel" else _after(adapter), with_kwargs=True)


def missing(model: nn.Module, placement: str) -> str | None:
    """The first kind of block that `placement` needs and `model` has none of; None when it has all."""
    if placement == "houlsby" and _of_bert(model):
        return None
    return next((names[0] for names in PLACEMENTS[placement] if not blocks(model, (names,))), None)


def places(model: nn.Module, placement: str) -> list[nn.Module]:
    """The modules of `model` that adapters are attached to."""
    return (_of_bert(model) if placement == "houlsby" else []) or blocks(model, PLACEMENTS[placement])


def _of_bert(model: nn.Module) -> list[nn.Module]:
    """The last linear layer of attention and of MLP in each of BERT's layers, which name no MLP: both blocks add the
    residual and norm the sum themselves, so an adapter stands on the layer before.
    """
    layers = [
        layer
        for layer in model.modules()
        if {"attention", "intermediate", "output"} <= set(dict(layer.named_children()))
    ]
    pairs = [(getattr(layer.attention, "output", None), layer.output) for layer in layers]
    linear = [getattr(part, "dense", None) for pair in pairs for part in pair]
    return [layer for layer in linear if isinstance(layer, nn.Module)] if all(linear) else []


def blocks(model: nn.Module, kinds: tuple[tuple[str, ...], ...]) -> list[nn.Module]:
    """The modules with a name of one of the `kinds` that are not inside another such module."""
    names = {name for kind in kinds for name in kind}
    named = [block for name, block in model.named_modules() if name.rpartition(".")[2] in names]
    inside = {id(part) for block in named for part in block.modules() if part is not block}
    return [block for block in named if id(block) not in inside]


def problem(model: nn.Module, kind: str, placement: str, size: int) -> str | None:
    """Why `model` (perhaps without weights) cannot have such adapters, from the tuner's key on; None when it can: its
    blocks go by other names, or the network would be wider than it.
    """
    if words := missing(model, placement):
        return f"kind is {kind}, and the base has no {words} as a module with a known name; use lora."
    if getattr(model.config, "depths", None):
        return f"kind is {kind}, and the base's layers have different widths; use lora."
    width = model.config.get_text_config().hidden_size
    return f"size is {size}, and the base is {width} wide; lower it." if size > width else None


def save(model: nn.Module, folder: Path, inside: str = NAME) -> None:
    """The weights of the adapters, which are in modules named `inside`; equal weights, equal bytes."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: value.detach().contiguous().cpu() for name, value in _weights(model, inside).items()}
    save_file(weights, folder / FILE, metadata={"format": "pt"})


def fill(model: nn.Module, folder: Path, inside: str = NAME) -> None:
    """Put the weights in `folder` into the adapters of `model`; KeyError when they are of other blocks."""
    from safetensors.torch import load_file

    saved, weights = load_file(folder / FILE), _weights(model, inside)
    if saved.keys() != weights.keys():
        raise KeyError(f"{folder} holds adapters for other blocks than the parent's")
    _copy(saved, weights)


def fill_part(model: nn.Module, inside: str, name: str, folder: Path) -> None:
    """Put what the model `name` learnt into the adapters `inside` (its place: `fusion.adapters.0`); AnnealError if they
    are of other blocks.
    """
    from safetensors.torch import load_file

    weights = _weights(model, inside)
    saved = {key.replace(f".{NAME}.", f".{inside}."): value for key, value in load_file(folder / FILE).items()}
    if saved.keys() != weights.keys():
        raise AnnealError(f"the adapter of {name} is for other blocks than the parent's; train it on this parent.")
    _copy(saved, weights)


def _weights(model: nn.Module, inside: str) -> dict[str, nn.Parameter]:
    return {name: weight for name, weight in model.named_parameters() if f".{inside}." in name}


def _copy(values: Mapping[str, torch.Tensor], weights: Mapping[str, nn.Parameter]) -> None:
    with torch.no_grad():
        for name, value in values.items():
            weights[name].copy_(value)


def _after(adapter: Adapter) -> Callable[..., Output]:
    """A hook that passes what the block returns through the adapter; attention returns more than one value."""

    def hook(_: nn.Module, args: tuple[torch.Tensor, ...], kwargs: dict[str, torch.Tensor], output: Output) -> Output:
        if not adapter.enabled:
            return output
        first, *rest = output if isinstance(output, tuple) else (output,)
        first = first + adapter(first)
        return (first, *rest) if isinstance(output, tuple) else first

    return hook


def _beside(adapter: Adapter) -> Callable[..., Output]:
    """A hook that adds the adapter's output for the block's input to the block's output."""

    def hook(_: nn.Module, args: tuple[torch.Tensor, ...], kwargs: dict[str, torch.Tensor], output: Output) -> Output:
        if not adapter.enabled:
            return output
        read = args[0] if args else next(iter(kwargs.values()))
        first, *rest = output if isinstance(output, tuple) else (output,)
        first = first + adapter(read)
        return (first, *rest) if isinstance(output, tuple) else first

    return hook


@contextmanager
def disabled(adapters: Sequence[Adapter]) -> Iterator[None]:
    """Within it, the `adapters` add nothing."""
    for adapter in adapters:
        adapter.enabled = False
    try:
        yield
    finally:
        for adapter in adapters:
            adapter.enabled = True
