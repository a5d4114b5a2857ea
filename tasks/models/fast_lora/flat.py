"""A batch without padding: the shared prefix once, followed by the concatenated tokens of all rows; what rows of one
prompt begin with is among them once.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import takewhile

import torch

from tasks.dataset.encoded import Batch

ALIGNED = 32  # keys: the softmax of rows of such a length takes half as long


@dataclass(frozen=True)
class Group:
    """Rows of a batch that are read together, and the number of tokens that all of them begin with."""

    rows: tuple[int, ...]
    shared: int


@dataclass(frozen=True)
class Span:
    """Tokens `start` to `end` of a flat batch, a group's: each attends to those of them that `mask` leaves, and to the
    first `past` of all.
    """

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


def flatten(batch: Batch, prefix: Sequence[int], dtype: torch.dtype, groups: Sequence[Group] | None = None) -> Flat:
    """The `batch` (tasks/dataset/encoded.py) after its `prefix`, each row by itself unless `groups` are given; masks
    are of `dtype`.
    """
    past, valid = len(prefix), batch["attention_mask"][:, len(prefix) :].bool()
    columns = [row.nonzero()[:, 0] for row in valid]
    places = torch.zeros(valid.shape, dtype=torch.long)
    read: list[tuple[int, torch.Tensor]] = []  # rows and their columns, in the order of the flat tokens
    parts: list[list[int]] = []  # lengths of each group's shared beginning and of its rows after it
    start = past
    for group in groups or [Group((row,), 0) for row in range(len(valid))]:
        first, common = group.rows[0], torch.arange(start, start + group.shared)
        read.append((first, columns[first][: group.shared]))
        start += group.shared
        parts.append([group.shared])
        for row in group.rows:
            own = columns[row][group.shared :]
            places[row, columns[row]] = torch.cat([common, torch.arange(start, start + len(own))])
            read.append((row, own))
            start += len(own)
            parts[-1].append(len(own))
    at = torch.cat([torch.full_like(own, row) for row, own in read]), torch.cat([own for _, own in read])
    return Flat(
        torch.cat([torch.tensor(list(prefix), dtype=torch.long), batch["input_ids"][at]]),
        torch.cat([torch.arange(past), batch["position_ids"][at]]),
        places,
        tuple(_spans(past, parts, dtype)),
        past,
    )


def of_one_prompt(batch: Batch, past: int) -> list[Group]:
    """The rows of a `batch` with labels, grouped by their prompt (all before the first trained token); `past` tokens of
    each are left out of the batch.

    What the answers themselves begin with alike is shared too: whatever follows, it is read the same.
    """
    valid = batch["attention_mask"][:, past:].bool()
    rows = [ids[own].tolist() for ids, own in zip(batch["input_ids"], valid, strict=True)]
    learnt = batch["labels"] != -100
    answers = (learnt.shape[1] - learnt.long().argmax(1)).where(learnt.any(1), 0).tolist()  # lengths
    prompts: dict[tuple[int, ...], list[int]] = {}
    for number, (ids, answer) in enumerate(zip(rows, answers, strict=True)):
        prompts.setdefault(tuple(ids[: len(ids) - answer]), []).append(number)
    return [Group(tuple(numbers), _common([rows[row] for row in numbers])) for numbers in prompts.values()]


def _common(rows: Sequence[list[int]]) -> int:
    """The number of tokens that all begin with; 0 for a row by itself, which shares nothing."""
    pairs = zip(min(rows), max(rows), strict=False)  # what the extremes share is shared by all
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs)) if len(rows) > 1 else 0


def _spans(past: int, groups: Sequence[Sequence[int]], dtype: torch.dtype) -> Iterator[Span]:
    if past:
        yield Span(0, past, 0, _mask([past], 0, dtype))
    masks: dict[tuple[int, ...], torch.Tensor] = {}
    start = past
    for lengths in map(tuple, groups):
        if lengths not in masks:
            masks[lengths] = _mask(lengths, past, dtype)
        yield Span(start, start + sum(lengths), past, masks[lengths])
        start += sum(lengths)


def _mask(lengths: Sequence[int], past: int, dtype: torch.dtype) -> torch.Tensor:
    """Each token attends to those before it in its own part, and to the first part (and the past, also before it)."""
    part = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
    hidden = torch.ones(len(part), -(-(past + len(part)) // ALIGNED) * ALIGNED, dtype=torch.bool)
    hidden[:, :past] = False
    hidden[:, past : past + len(part)] = ~((part[:, None] == part) | (part == 0)).tril()
    return torch.zeros(hidden.shape, dtype=dtype).masked_fill_(hidden, float("-inf"))
