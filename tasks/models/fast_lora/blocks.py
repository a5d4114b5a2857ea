"""The two halves of a layer of Llama's kind, each with its residual and a backward pass of its own: operations between
the products take few passes over memory, and few intermediate results are kept.
"""

from dataclasses import dataclass
from itertools import chain
from typing import cast

import torch
from torch.autograd.function import FunctionCtx

from tasks.models.fast_lora import attention, norm, products
from tasks.models.fast_lora.flat import Span


@dataclass(frozen=True)
class Half:
    """The frozen parts of half a layer: its norm, and the products after it and before the residual."""

    norm: torch.Tensor
    epsilon: float
    enters: products.Stack
    leaves: products.Stack


@dataclass(frozen=True)
class Reading:
    """Positions of the tokens: (cos, sin) of rotary angles (tokens, d / 2), those of queries scaled; and the spans."""

    of_q: tuple[torch.Tensor, torch.Tensor]
    of_k: tuple[torch.Tensor, torch.Tensor]
    spans: tuple[Span, ...]
    heads: int  # that share keys and values
    width: int


def attend(half: Half, h: torch.Tensor, reading: Reading) -> torch.Tensor:
    """h + attention(norm(h)); h: (tokens, width)."""
    enters, leaves = half.enters.pairs(), half.leaves.pairs()
    out: torch.Tensor = Attention.apply(h, half, reading, len(enters), *enters, *leaves)
    return out


def transform(half: Half, h: torch.Tensor) -> torch.Tensor:
    """h + SwiGLU(norm(h)); h: (tokens, width)."""
    enters, leaves = half.enters.pairs(), half.leaves.pairs()
    out: torch.Tensor = GatedUnit.apply(h, half, len(enters), *enters, *leaves)
    return out


class Attention(torch.autograd.Function):  # type: ignore[misc]
    """See attend()."""

    @staticmethod
    def forward(
        ctx: FunctionCtx, h: torch.Tensor, half: Half, reading: Reading, first: int, *pairs: torch.Tensor
    ) -> torch.Tensor:
        """`pairs`: of the products that enter, `first` of them, then of the one that leaves."""
        x, rate = norm.forward(h, half.norm, half.epsilon)
        y, low = products.forward(x, half.enters.weight, pairs[:first])
        q, k, v = _heads(y, reading)
        read, seen = attention.forward(q, k, v, reading.spans)
        read = read.view(len(h), -1)
        out, low_out = products.forward(read, half.leaves.weight, pairs[first:], onto=h)
        ctx.save_for_backward(h, x, rate, low, q, read, low_out, *pairs, *chain.from_iterable(seen))
        ctx.half, ctx.reading, ctx.first = half, reading, first
        return out

    @staticmethod
    def backward(ctx: FunctionCtx, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """The gradients of h and of the pairs."""
        half, reading, spans = ctx.half, ctx.reading, ctx.reading.spans
        h, x, rate, low, q, read, low_out, *pairs = ctx.saved_tensors[: -3 * len(spans)]
        kept = ctx.saved_tensors[-3 * len(spans) :]
        seen = list(zip(kept[::3], kept[1::3], kept[2::3], strict=True))
        of_read, last = cast(
            products.Gradients, products.backward(grad, read, low_out, half.leaves.weight, pairs[ctx.first :])
        )
        of_heads = attention.backward(of_read.view(len(h), len(q), -1, reading.width), q, seen, spans)
        of_x, first = products.backward(
            _joined(of_heads, reading), x, low, half.enters.weight, pairs[: ctx.first], ctx.needs_input_grad[0]
        )
        of_h = grad + norm.backward(of_x, h, half.norm, rate) if of_x is not None else None
        return of_h, None, None, None, *first, *last


def _heads(y: torch.Tensor, reading: Reading) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(tokens, all heads of q, k and v) → q (groups, tokens, heads, d), k and v (groups, tokens, d), rotated."""
    each = y.view(len(y), -1, reading.width)
    groups = each.shape[1] // (reading.heads + 2)
    q, k, v = each.split([groups * reading.heads, groups, groups], 1)
    to_q = y.new_empty(groups, len(y), reading.heads, reading.width)
    to_k = y.new_empty(groups, len(y), reading.width)
    attention.rotate(q.unflatten(1, (groups, -1)), *reading.of_q, out=to_q.transpose(0, 1))
    attention.rotate(k, *reading.of_k, out=to_k.transpose(0, 1))
    return to_q, to_k, v.transpose(0, 1).contiguous()


def _joined(grads: tuple[torch.Tensor, ...], reading: Reading) -> torch.Tensor:
    """The gradient of _heads' argument, given those of its results."""
    of_q, of_k, of_v = (grad.transpose(0, 1) for grad in grads)
    tokens, groups = of_k.shape[:2]
    y = of_q.new_empty(tokens, groups * (reading.heads + 2), reading.width)
    q, k, v = y.split([groups * reading.heads, groups, groups], 1)
    (cos_q, sin_q), (cos_k, sin_k) = reading.of_q, reading.of_k
    attention.rotate(of_q, cos_q, -sin_q, out=q.unflatten(1, (groups, -1)))
    attention.rotate(of_k, cos_k, -sin_k, out=k)
    v.copy_(of_v)
    return y.view(tokens, -1)


class GatedUnit(torch.autograd.Function):  # type: ignore[misc]
    """SwiGLU (Shazeer 2020, arXiv:2002.05202, eq. 6); see transform()."""

    @staticmethod
    def forward(ctx: FunctionCtx, h: torch.Tensor, half: Half, first: int, *pairs: torch.Tensor) -> torch.Tensor:
        """`pairs`: of gate and up, `first` of them, then of down."""
        x, rate = norm.forward(h, half.norm, half.epsilon)
        y, low = products.forward(x, half.enters.weight, pairs[:first])
        gate, up = y.chunk(2, -1)
        opened = torch.nn.functional.silu(gate)
        made = opened * up
        out, low_out = products.forward(made, half.leaves.weight, pairs[first:], onto=h)
        ctx.save_for_backward(h, x, rate, low, y, opened, low_out, *pairs)
        ctx.half, ctx.first = half, first
        return out

    @staticmethod
    def backward(ctx: FunctionCtx, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """The gradients of h and of the pairs."""
        h, x, rate, low, y, opened, low_out, *pairs = ctx.saved_tensors
        half, (gate, up) = ctx.half, y.chunk(2, -1)
        of_made, last = cast(
            products.Gradients, products.backward(grad, opened * up, low_out, half.leaves.weight, pairs[ctx.first :])
        )
        of_y = torch.empty_like(y)
        of_gate, of_up = of_y.chunk(2, -1)
        torch.mul(of_made, opened, out=of_up)
        torch.ops.aten.silu_backward.grad_input(of_made.mul_(up), gate, grad_input=of_gate)
        of_x, first = products.backward(
            of_y, x, low, half.enters.weight, pairs[: ctx.first], ctx.needs_input_grad[0] or ctx.first > 0
        )
        of_h = grad + norm.backward(of_x, h, half.norm, rate) if ctx.needs_input_grad[0] else None
        return of_h, None, None, *first, *last
