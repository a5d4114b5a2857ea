"""What a model that writes says to many prompts, and how likely it finds what it should have said: both from one
reading (tasks/inference/reading.py).

Batches that are read are small, so that little is padding; many rows write together, since then each costs least; rows
that have ended leave. On a CPU the groups of rows that write together are written at the same time.
"""

import math
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import nn

from tasks.inference import shared_cache
from tasks.inference.batches import batches, longest_first, tokens_of_a_pass
from tasks.inference.reading import Group, Reader, ScoredPrompt, Written
from tasks.inference.threads import several_at_once

HELD_AT_ONCE = 2**30  # bytes of keys and values of a group
LEAVING = 0.9  # rows that have ended are left out as soon as the others are fewer than this share


class Limits(Protocol):
    """What an answer may be: what a JSON `schema` says; rows are named by their places among the prompts."""

    @property
    def schema(self) -> Mapping[str, object]:
        """The JSON schema."""

    def mask(self, logits: torch.Tensor, places: Sequence[int | None]) -> None:
        """Make the logits, (rows, vocabulary), of what may not come next -inf; None is a row that has ended."""

    def accept(self, place: int, token: int) -> None:
        """Note what came."""


@dataclass(frozen=True)
class Decoding:
    """Rows that write at once, tokens of an answer, the tokens that end one, padding, and what an answer may be.

    `progress` is told how many rows are done, of each its share. Where it does not write, texts are only scored.
    """

    rows: int
    max_new_tokens: int
    ends: Collection[int]
    pad: int
    limits: Limits | None = None
    progress: Callable[[float], None] = lambda done: None
    writes: bool = True


def write(
    model: nn.Module, asked: Sequence[ScoredPrompt], prefix: Sequence[int], how: Decoding
) -> tuple[list[Written], float]:
    """Greedy answers to prompts that all begin with `prefix` and go on, and the seconds that they took."""
    made, done = [Written() for _ in asked], Progress(how.progress)
    groups = list(_groups(model, asked, len(prefix), how))
    with torch.inference_mode(), shared_cache.attending(model) as in_parts:
        reader = Reader(model, prefix, in_parts, how.pad)

        def work(places: list[int]) -> tuple[float, float]:
            with torch.inference_mode():  # of a thread
                return _write_group(reader, asked, places, made, how, done)

        began = time.monotonic()
        seconds = several_at_once(work, groups, model.device.type)
    whole = time.monotonic() - began
    return made, whole * sum(answering for answering, _ in seconds) / max(sum(both for _, both in seconds), 1e-9)


class Progress:
    """Rows that are done in groups that are written at the same time; `told` of how many, each time it is more."""

    def __init__(self, told: Callable[[float], None]) -> None:
        self.told, self.rows = told, dict[int, float]()

    def note(self, group: int, rows: float) -> None:
        """So many rows of a group, which is named by its first place, are done."""
        self.rows[group] = rows
        self.told(sum(self.rows.copy().values()))


def _write_group(
    reader: Reader,
    asked: Sequence[ScoredPrompt],
    places: Sequence[int],
    made: Sequence[Written],
    how: Decoding,
    done: Progress,
) -> tuple[float, float]:
    """Read and answer the rows at `places`; the seconds that their answers took, and those of all of it."""
    own = [made[place] for place in places]
    group = Group(reader, [asked[place] for place in places], how.max_new_tokens)
    seconds, started = 0.0, time.monotonic()
    for part in batches(range(len(places)), group.lengths, len(places), tokens_of_a_pass(reader.model.device.type)):
        seconds += group.read(part, [own[row] for row in part])
        done.note(places[0], 0.5 * (part[-1] + 1))
    began = time.monotonic()
    if how.writes:
        _go_on(group, places, own, how, done)
    done.note(places[0], len(places))
    ended = time.monotonic()
    return seconds + ended - began, ended - started


def _groups(model: nn.Module, asked: Sequence[ScoredPrompt], prefix: int, how: Decoding) -> Iterator[list[int]]:
    """Places of rows that write together, longest first: nearly equally many, at most `rows`, and what memory holds."""
    lengths = [len(each.prompt) - prefix + how.max_new_tokens for each in asked]
    even = math.ceil(len(asked) / math.ceil(len(asked) / how.rows)) if asked else 1
    return batches(longest_first(lengths), lengths, even, HELD_AT_ONCE // shared_cache.bytes_a_token(model))


def _go_on(group: Group, places: Sequence[int], made: Sequence[Written], how: Decoding, done: Progress) -> None:
    """Write the answers of a group that was read."""
    rows = [*range(len(made))]  # that are computed, ended or not
    logits = torch.cat(group.heads)
    for step in range(how.max_new_tokens):
        if how.limits:
            how.limits.mask(logits, [None if made[row].finished else places[row] for row in rows])
        tokens = logits.argmax(-1).tolist()
        for row, token in zip(rows, tokens, strict=True):
            _note(made[row], token, places[row], how)
        open_places = [place for place, row in enumerate(rows) if not made[row].finished]
        ended = len(made) - len(open_places)
        done.note(places[0], 0.5 * (len(made) + ended + len(open_places) * (step + 1) / how.max_new_tokens))
        if not open_places or step + 1 == how.max_new_tokens:
            return
        if len(open_places) < LEAVING * len(rows):
            group.keep(open_places)
            rows, tokens = [rows[place] for place in open_places], [tokens[place] for place in open_places]
        logits = group.step(tokens)


def _note(written: Written, token: int, place: int, how: Decoding) -> None:
    if written.finished:
        return
    written.finished = token in how.ends
    if not written.finished:
        written.tokens.append(token)
        if how.limits:
            how.limits.accept(place, token)
