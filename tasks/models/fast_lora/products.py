"""Frozen linear layers that read the same states, as one product, with a low-rank path beside each of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from tasks.weights import lora

Pairs = tuple[torch.Tensor, ...]  # A of all layers, (ranks, in), then the B of each, (out, r); empty without adapters
Gradients = tuple[torch.Tensor, Pairs]  # of the states that are read, where these are asked for, and of pairs


@dataclass(frozen=True)
class Stack:
    """Layers with `weight` (sum of outs, in), of which each layer's own is a part."""

    layers: tuple[nn.Module, ...]
    weight: torch.Tensor
    outs: tuple[int, ...]

    def pairs(self) -> Pairs:
        """The current matrices of the adapters, scaled, in the dtype of the weight; differentiable."""
        adapters = [_pair(layer) for layer in self.layers]
        if all(pair is None for pair in adapters):
            return ()
        dtype, width = self.weight.dtype, self.weight.shape[1]
        empty = [(self.weight.new_empty(0, width), self.weight.new_empty(out, 0)) for out in self.outs]
        lows, ups = zip(*(pair or none for pair, none in zip(adapters, empty, strict=True)), strict=True)
        return torch.cat(lows).to(dtype), *(up.to(dtype) for up in ups)


def _pair(layer: nn.Module) -> Pairs | None:
    """A and s B of a layer; None if it has no adapter, or a disabled one."""
    if not lora.is_layer(layer) or (pair := lora.matrices(layer)) is None:
        return None
    (name,) = layer.active_adapters
    return pair[0], pair[1] * layer.scaling[name]


def stack(layers: Sequence[nn.Module]) -> Stack:
    """`layers` as one; their weights become views of one tensor, so nothing is stored twice."""
    bases = [layer.get_base_layer() if lora.is_layer(layer) else layer for layer in layers]
    weights = [base.weight for base in bases]
    outs = tuple(len(weight) for weight in weights)
    whole = weights[0].data if len(weights) == 1 else torch.cat([weight.data for weight in weights])
    for weight, part in zip(weights, whole.split(outs), strict=True):
        weight.data = part
    return Stack(tuple(layers), whole, outs)


def forward(
    x: torch.Tensor, weight: torch.Tensor, pairs: Pairs, onto: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """x: (tokens, in) → (x Wᵀ + (x Aᵀ) Bᵀ, plus `onto` if given; x Aᵀ)."""
    y = x @ weight.t() if onto is None else torch.addmm(onto, x, weight.t())
    if not pairs:
        return y, None
    low = x @ pairs[0].t()
    for part, of_low, up in _parts(y, low, pairs):
        part.addmm_(of_low, up.t())
    return y, low


def backward(
    grad: torch.Tensor, x: torch.Tensor, low: torch.Tensor | None, weight: torch.Tensor, pairs: Pairs, of_x: bool = True
) -> tuple[torch.Tensor | None, Pairs]:
    """The gradients of x and of `pairs`."""
    if low is None:
        return (grad @ weight if of_x else None), ()
    grad_low, ups = torch.empty_like(low), []
    for part, of_low, up, of_grad in _parts(grad, low, pairs, grad_low):
        torch.mm(part, up, out=of_grad)
        ups.append(part.t() @ of_low)
    grad_x = (grad @ weight).addmm_(grad_low, pairs[0]) if of_x else None
    return grad_x, (grad_low.t() @ x, *ups)


def _parts(
    wide: torch.Tensor, low: torch.Tensor, pairs: Pairs, *others: torch.Tensor
) -> Iterator[tuple[torch.Tensor, ...]]:
    ups = pairs[1:]
    outs, ranks = [len(up) for up in ups], [up.shape[1] for up in ups]
    return zip(wide.split(outs, 1), low.split(ranks, 1), ups, *(t.split(ranks, 1) for t in others), strict=True)
