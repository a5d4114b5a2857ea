"""Attention of a flat batch: heads that share keys and values are one product, and rows are not padded."""

from collections.abc import Sequence

import torch

from tasks.models.fast_lora.flat import Span


def rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, out: torch.Tensor) -> None:
    """Rotary embedding (Su et al. 2021, arXiv:2104.09864) of x (tokens, …, d) into `out`, of the same shape and of any
    layout; cos, sin: (tokens, d / 2). With -sin it is its own transpose.
    """
    (first, second), (to_first, to_second) = x.chunk(2, -1), out.chunk(2, -1)
    shape = (len(x), *[1] * (x.dim() - 2), -1)
    cos, sin = cos.view(shape), sin.view(shape)
    torch.mul(first, cos, out=to_first).addcmul_(second, sin, value=-1)
    torch.mul(second, cos, out=to_second).addcmul_(first, sin)


Seen = tuple[torch.Tensor, torch.Tensor, torch.Tensor]  # of a span: keys, values, and how much of each is read


def forward(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, spans: Sequence[Span]
) -> tuple[torch.Tensor, list[Seen]]:
    """q: (groups, tokens, heads, d), rotated and scaled; k, v: (groups, tokens, d) → (attention output: (tokens,
    groups, heads, d); what each span attended to).
    """
    groups, tokens, heads, width = q.shape
    read, made = q.new_empty(tokens, groups, heads, width), []
    for span in spans:
        queries = q[:, span.start : span.end].flatten(1, 2)
        length, keys = span.mask.shape
        mask = span.mask[None, :, None].expand(groups, length, heads, keys).reshape(groups, -1, keys)
        seen_k, seen_v = span.seen(k), span.seen(v)
        p = torch.softmax(torch.baddbmm(mask, queries, seen_k.transpose(1, 2)), -1)
        read[span.start : span.end] = (p @ seen_v).view(groups, length, heads, width).permute(1, 0, 2, 3)
        made.append((seen_k, seen_v, p))
    return read, made


def backward(
    grad: torch.Tensor, q: torch.Tensor, made: Sequence[Seen], spans: Sequence[Span]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The gradients of q, k and v for `grad`, that of the attention output."""
    of_q, of_k = torch.empty_like(q), q.new_empty(len(q), len(grad), q.shape[-1])
    of_v = torch.empty_like(of_k)
    common: list[tuple[torch.Tensor, torch.Tensor]] = []  # k and v of the tokens that all rows begin with, by row
    for span, (seen_k, seen_v, p) in zip(spans, made, strict=True):
        own, seen = slice(span.start, span.end), span.past + span.end - span.start
        queries = q[:, own].flatten(1, 2)
        of_read = grad[own].permute(1, 0, 2, 3).reshape(queries.shape)
        of_p = of_read @ seen_v.transpose(1, 2)
        of_scores = torch._softmax_backward_data(of_p, p, -1, p.dtype)
        of_q[:, own] = (of_scores @ seen_k).view_as(q[:, own])
        grad_k, grad_v = of_scores.transpose(1, 2) @ queries, p.transpose(1, 2) @ of_read
        of_k[:, own], of_v[:, own] = grad_k[:, span.past : seen], grad_v[:, span.past : seen]
        if span.past:
            common.append((grad_k[:, : span.past].float(), grad_v[:, : span.past].float()))
    for of, parts in zip((of_k, of_v), zip(*common, strict=True), strict=False):
        of[:, : parts[0].shape[1]] += torch.stack(parts).sum(0).to(of.dtype)
    return of_q, of_k, of_v
