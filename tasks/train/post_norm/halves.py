"""The two halves of a layer of BERT's kind, each a step of autograd: products in the precision that is computed in,
residuals and norms in that of the states.
"""

from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from tasks.train import dropout

if TYPE_CHECKING:
    from tasks.train.post_norm.layers import Parts

Optional = torch.Tensor | None


def attend(
    h: torch.Tensor, rows: Sequence[int], parts: "Parts", shares: tuple[float, float], dtype: torch.dtype
) -> torch.Tensor:
    """norm(h + dropout(attention(h))); h: (tokens, width), rows end to end, `rows` their lengths."""
    weights = [
        weight for layer in (*parts.entering, parts.leaving, parts.norm) for weight in (layer.weight, layer.bias)
    ]
    out: torch.Tensor = Attention.apply(h, rows, parts.heads, shares, parts.norm.eps, dtype, *weights)
    return out


def transform(h: torch.Tensor, parts: "Parts", share: float, dtype: torch.dtype) -> torch.Tensor:
    """norm(h + dropout(W₂ gelu(W₁ h))); h: (tokens, width)."""
    weights = [weight for layer in (parts.up, parts.down, parts.last_norm) for weight in (layer.weight, layer.bias)]
    out: torch.Tensor = FeedForward.apply(h, share, parts.last_norm.eps, dtype, *weights)
    return out


class Closed(NamedTuple):
    """What _close has made, and its backward pass needs."""

    x: torch.Tensor
    weight: torch.Tensor
    kept: Optional
    total: torch.Tensor
    mean: torch.Tensor
    rate: torch.Tensor
    gamma: torch.Tensor
    beta: torch.Tensor


def _close(
    h: torch.Tensor, x: torch.Tensor, share: float, epsilon: float, weights: tuple[torch.Tensor, ...]
) -> tuple[torch.Tensor, Closed]:
    """norm(h + dropout(x Wᵀ + b)); h, x: (tokens, width)."""
    weight, bias, gamma, beta = weights
    weight = weight.to(x.dtype)
    made = torch.addmm(bias.to(x.dtype), x, weight.t())
    kept = dropout.mask(made.shape, share, x.dtype) if share else None
    total = h + made if kept is None else torch.addcmul(h, made, kept, value=dropout.scale(share))
    out, mean, rate = torch.native_layer_norm(total, [h.shape[-1]], gamma, beta, epsilon)
    return out, Closed(x, weight, kept, total, mean, rate, gamma, beta)


def _open(
    grad: torch.Tensor, closed: Closed, share: float, needed: tuple[bool, ...]
) -> tuple[torch.Tensor, torch.Tensor, tuple[Optional, ...]]:
    """The gradients of h without x's part, of x, and of the four weights, where they are `needed`."""
    x, weight, kept, total, mean, rate, gamma, beta = closed
    of_total, of_gamma, of_beta = torch.ops.aten.native_layer_norm_backward(
        grad, total, [grad.shape[-1]], mean, rate, gamma, beta, [True, needed[2], needed[3]]
    )
    of_made = of_total if kept is None else torch.mul(of_total, kept).mul_(dropout.scale(share))
    of_made = of_made.to(x.dtype)
    of_weights = _of_linear(of_made, x, gamma.dtype, needed[:2])
    return of_total, of_made @ weight, (*of_weights, of_gamma, of_beta)


def _of_linear(grad: torch.Tensor, x: torch.Tensor, dtype: torch.dtype, needed: tuple[bool, ...]) -> tuple:
    """The gradients of a weight and a bias, in the dtype that they are held in."""
    of_weight = (grad.t() @ x).to(dtype) if needed[0] else None
    return of_weight, (grad.sum(0).to(dtype) if needed[1] else None)


class Attention(torch.autograd.Function):
    """See attend()."""

    @staticmethod
    def forward(
        ctx: Any,
        h: torch.Tensor,
        rows: Sequence[int],
        heads: int,
        shares: tuple[float, float],
        epsilon: float,
        dtype: torch.dtype,
        *weights: torch.Tensor,
    ) -> torch.Tensor:
        """`weights`: those that enter, the one that leaves and the norm's, each with its bias."""
        x = h.to(dtype)
        entering, bias = _entering(weights[:6], heads, dtype)
        made = torch.addmm(bias, x, entering.t()).view(len(h), 3, heads, -1)
        kept = _masks(rows, heads, shares[0], dtype)
        read, kept_for_backward = torch.empty_like(x), []
        for place, mask in zip(_places(rows), kept, strict=True):
            q, k, v = made[place].permute(1, 2, 0, 3).contiguous()
            p = torch.softmax(q @ k.transpose(1, 2), -1, dtype=torch.float32).to(
                dtype
            )  # in bf16 it takes twice as long
            out = _dropped(p, mask) @ v
            torch.mul(out.transpose(0, 1), dropout.scale(shares[0]), out=read[place].view(len(p[0]), heads, -1))
            kept_for_backward += [q, k, v, p, mask]
        out, closed = _close(h, read, shares[1], epsilon, weights[6:])
        ctx.save_for_backward(x, entering, *closed, *kept_for_backward)
        ctx.rows, ctx.shares, ctx.heads = rows, shares, heads
        return out

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple:
        """Of h and of the weights."""
        x, entering, *saved = ctx.saved_tensors
        closed, saved = Closed(*saved[: len(Closed._fields)]), saved[len(Closed._fields) :]
        needed, heads = ctx.needs_input_grad, ctx.heads
        of_h, of_read, last = _open(grad, closed, ctx.shares[1], needed[12:])
        of_read = of_read.mul_(dropout.scale(ctx.shares[0])).view(len(x), heads, -1)
        of_made = x.new_empty(len(x), 3, *of_read.shape[1:])
        for i, place in enumerate(_places(ctx.rows)):
            made = _of_row(of_read[place].transpose(0, 1), *saved[5 * i : 5 * i + 5])
            for part, of_part in enumerate(made):
                of_made[place, part] = of_part.transpose(0, 1)
        of_made = of_made.flatten(1)
        first = _of_entering(of_made, x, heads, closed.gamma.dtype, needed[6:12])
        of_h = of_h.add_(of_made @ entering) if needed[0] else None
        return of_h, None, None, None, None, None, *first, *last


def _places(rows: Sequence[int]) -> list[slice]:
    """Where each of `rows` lies."""
    ends = list(accumulate(rows))
    return [slice(end - length, end) for length, end in zip(rows, ends, strict=True)]


def _masks(rows: Sequence[int], heads: int, share: float, dtype: torch.dtype) -> list[Optional]:
    """(heads, length, length) of each row, or None where nothing is dropped."""
    if not share:
        return [None] * len(rows)
    sizes = [heads * length * length for length in rows]
    parts = dropout.mask((sum(sizes),), share, dtype).split(sizes)
    return [part.view(heads, length, length) for part, length in zip(parts, rows, strict=True)]


def _dropped(p: torch.Tensor, kept: Optional) -> torch.Tensor:
    return p if kept is None else p * kept


def _of_row(
    of_read: torch.Tensor, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, p: torch.Tensor, kept: Optional
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The gradients of a row's queries, keys and values, all of (heads, length, d)."""
    of_p = of_read @ v.transpose(1, 2)
    of_scores = torch._softmax_backward_data(of_p if kept is None else of_p.mul_(kept), p, -1, p.dtype)
    return of_scores @ k, of_scores.transpose(1, 2) @ q, _dropped(p, kept).transpose(1, 2) @ of_read


def _entering(weights: tuple[torch.Tensor, ...], heads: int, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    """The weights and biases of queries, keys and values as one; queries are scaled by them."""
    width = len(weights[0])
    weight, bias = weights[0].new_empty(3 * width, weights[0].shape[1], dtype=dtype), weights[1].new_empty(3 * width)
    factor = (width // heads) ** -0.5
    for of, parts in ((weight, weights[::2]), (bias, weights[1::2])):
        q, k, v = of.chunk(3)
        torch.mul(parts[0], factor, out=q)
        k.copy_(parts[1])
        v.copy_(parts[2])
    return weight, bias.to(dtype)


def _of_entering(
    grad: torch.Tensor, x: torch.Tensor, heads: int, dtype: torch.dtype, needed: tuple[bool, ...]
) -> list[Optional]:
    """The gradients of _entering's `weights`."""
    weight, bias = _of_linear(grad, x, dtype, (any(needed[::2]), any(needed[1::2])))
    factor = (grad.shape[1] // 3 // heads) ** -0.5
    for of in (weight, bias):
        if of is not None:
            of.chunk(3)[0].mul_(factor)
    none: tuple[Optional, ...] = (None,) * 3
    weights, biases = (none if of is None else of.chunk(3) for of in (weight, bias))
    parts = [part for pair in zip(weights, biases, strict=True) for part in pair]
    return [part if is_needed else None for part, is_needed in zip(parts, needed, strict=True)]


class FeedForward(torch.autograd.Function):
    """See transform()."""

    @staticmethod
    def forward(
        ctx: Any, h: torch.Tensor, share: float, epsilon: float, dtype: torch.dtype, *weights: torch.Tensor
    ) -> torch.Tensor:
        """`weights`: of both products and of the norm, each with its bias."""
        x, up = h.to(dtype), weights[0].to(dtype)
        wide = torch.addmm(weights[1].to(dtype), x, up.t())
        out, closed = _close(h, torch.nn.functional.gelu(wide), share, epsilon, weights[2:])
        ctx.save_for_backward(x, up, wide, *closed)
        ctx.share = share
        return out

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple:
        """Of h and of the weights."""
        x, up, wide, *closed = ctx.saved_tensors
        needed = ctx.needs_input_grad
        of_h, of_wide, last = _open(grad, Closed(*closed), ctx.share, needed[6:])
        of_wide = torch.ops.aten.gelu_backward(of_wide, wide)
        first = _of_linear(of_wide, x, Closed(*closed).gamma.dtype, needed[4:6])
        of_h = of_h.add_(of_wide @ up) if needed[0] else None
        return of_h, None, None, None, *first, *last
