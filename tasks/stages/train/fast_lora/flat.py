"""A batch without padding: the shared prefix once, followed by the concatenated tokens of all rows."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch

from tasks.dataset.encoded import Batch

ALIGNED = 32  # keys: the softmax of rows of such a length takes half as long


@dataclass(frozen=True)
class Span:
    """Tokens `start` to `end` of a flat batch: each attends to those up to itself, and to the first `past` of all."""

    start: int
    end: int
    past: int
    mask: torch.Tensor  # (end - start, padded keys): 0, and -inf at keys that are not attended to

    def seen(self, states: torch.Tensor) -> torch.Tensor:
        """(heads, tokens, d) → (heads, padded keys, d): the keys that the span attends to, then zeros."""
        length, heads, width = self.end - self.start, len(states), states.shape[-1]
        padding = states.new_zeros(heads, self.mask.shape[-1] - self.past - length, width)
        return torch.cat([states[:, : self.past], states[:, self.start : self.end], padding], 1)


@dataclass(frozen=True)
class Flat:
    """ids, positions: (tokens,); places: (batch, time), the index in them of each token of the padded batch."""

    ids: torch.Tensor
    positions: torch.Tensor
    places: torch.Tensor
    spans: tuple[Span, ...] = field(repr=False)
    past: int


def flatten(batch: Batch, prefix: Sequence[int], dtype: torch.dtype) -> Flat:
    """The `batch` (tasks/dataset/encoded.py) after its `prefix`; masks are of `dtype`."""
    past, valid = len(prefix), batch["attention_mask"][:, len(prefix) :].bool()
    lengths = valid.sum(1).tolist()
    places = torch.zeros(valid.shape, dtype=torch.long)
    places[valid] = torch.arange(past, past + sum(lengths))
    head = torch.tensor(list(prefix), dtype=torch.long)
    return Flat(
        torch.cat([head, batch["input_ids"][valid]]),
        torch.cat([torch.arange(past), batch["position_ids"][valid]]),
        places,
        tuple(_spans(past, lengths, dtype)),
        past,
    )


def _spans(past: int, lengths: list[int], dtype: torch.dtype) -> Iterator[Span]:
    masks: dict[int, torch.Tensor] = {}
    start = 0
    for number, length in enumerate([past, *lengths]):
        if not length:
            continue
        before = past if number else 0
        if (mask := masks.get(length) if number else None) is None:
            mask = _causal(length, before, dtype)
            masks.update({length: mask} if number else {})
        yield Span(start, start + length, before, mask)
        start += length


def _causal(length: int, past: int, dtype: torch.dtype) -> torch.Tensor:
    keys = -(-(past + length) // ALIGNED) * ALIGNED
    return torch.full((length, keys), float("-inf"), dtype=dtype).triu_(past + 1)
