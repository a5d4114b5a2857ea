"""Answers to many prompts and the likelihoods of the right ones, from one pass over each prompt
(tasks/inference/reading.py). Answers are greedy, unless their tokens are drawn (tasks/inference/sampling.py).

Prompts are read in small batches, so that there is little padding; many rows are written together, since then each
costs least; finished rows are left out. On a CPU several groups of rows are written at the same time.
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
LEAVING = 0.9  # finished rows are left out once unfinished ones are fewer than this share


class Limits(Protocol):
    """Limits of answers by a JSON `schema`; rows are identified by their places among the prompts."""

    @property
    def schema(self) -> Mapping[str, object]:
        """The JSON schema."""

    def mask(self, logits: torch.Tensor, places: Sequence[int | None]) -> None:
        """Set the logits (rows, vocabulary) of forbidden next tokens to -inf; None is a finished row."""

    def accept(self, place: int, token: int) -> None:
        """Note the next token of a row."""


class Choose(Protocol):
    """Chooses the next token of each answer; answers are identified by their places among all of them."""

    def __call__(self, logits: torch.Tensor, places: Sequence[int], step: int) -> list[int]:
        """A token for each row of (rows, vocabulary), the `step`-th of its answer."""


def likeliest(logits: torch.Tensor, places: Sequence[int], step: int) -> list[int]:
    """The likeliest token of each row."""
    tokens: list[int] = logits.argmax(-1).tolist()
    return tokens


@dataclass(frozen=True)
class Decoding:
    """Answers that are written at once, the most tokens of one, the tokens that end one, padding, and limits.

    `progress` is called with the number of prompts done, fractions included. If `writes` is False, texts are only
    scored. A prompt is read once for its `copies` answers; `keep` is called with the places of the prompts of a group
    when they are answered, and groups of prompts that are `known` are left out.
    """

    rows: int
    max_new_tokens: int
    ends: Collection[int]
    pad: int
    limits: Limits | None = None
    progress: Callable[[float], None] = lambda done: None
    writes: bool = True
    copies: int = 1
    choose: Choose = likeliest
    known: Collection[int] = ()
    keep: Callable[[Sequence[int], Sequence["Written"]], None] = lambda places, answers: None


def write(
    model: nn.Module, asked: Sequence[ScoredPrompt], prefix: Sequence[int], how: Decoding
) -> tuple[list[Written], float]:
    """Answers to prompts that all begin with `prefix`, each prompt's next to each other, and the seconds that they
    took.
    """
    written, done = [Written() for _ in range(len(asked) * how.copies)], Progress(how.progress)
    groups = [places for places in _groups(model, asked, len(prefix), how) if not set(places) <= set(how.known)]
    with torch.inference_mode(), shared_cache.attending(model) as in_parts:
        reader = Reader(model, prefix, in_parts, how.pad)

        def work(places: list[int]) -> tuple[float, float]:
            with torch.inference_mode():  # of a thread
                return _write_group(reader, asked, places, written, how, done)

        began = time.monotonic()
        seconds = several_at_once(work, groups, model.device.type)
    elapsed = time.monotonic() - began
    return written, elapsed * sum(answering for answering, _ in seconds) / max(sum(both for _, both in seconds), 1e-9)


class Progress:
    """The number of rows done in groups that are written at the same time, for `report`."""

    def __init__(self, report: Callable[[float], None]) -> None:
        self.report, self.rows = report, dict[int, float]()

    def note(self, group: int, rows: float) -> None:
        """Set the number of rows done in a group, which is identified by its first place, and report the sum."""
        self.rows[group] = rows
        self.report(sum(self.rows.copy().values()))


def _write_group(
    reader: Reader,
    asked: Sequence[ScoredPrompt],
    places: Sequence[int],
    written: Sequence[Written],
    how: Decoding,
    done: Progress,
) -> tuple[float, float]:
    """Read and answer the prompts at `places`; returns (the seconds that answers took, the seconds in all)."""
    answers = [written[place * how.copies + copy] for place in places for copy in range(how.copies)]
    group = Group(reader, [asked[place] for place in places], how.max_new_tokens)
    seconds, started = 0.0, time.monotonic()
    for part in batches(range(len(places)), group.lengths, len(places), tokens_of_a_pass(reader.model.device.type)):
        seconds += group.read(part, [answers[row * how.copies] for row in part])
        done.note(places[0], 0.5 * (part[-1] + 1))
    began = time.monotonic()
    if how.writes:
        _write_answers(group, places, answers, how, done)
    how.keep(places, answers)
    done.note(places[0], len(places))
    ended = time.monotonic()
    return seconds + ended - began, ended - started


def _groups(model: nn.Module, asked: Sequence[ScoredPrompt], prefix: int, how: Decoding) -> Iterator[list[int]]:
    """Places of rows that are written together, longest first: groups of similar size, within `rows` and memory."""
    lengths = [len(prompt.prompt) - prefix + how.max_new_tokens for prompt in asked]
    rows, room = max(1, how.rows // how.copies), HELD_AT_ONCE // shared_cache.bytes_a_token(model) // how.copies
    even = math.ceil(len(asked) / math.ceil(len(asked) / rows)) if asked else 1
    return batches(longest_first(lengths), lengths, even, room)


def _write_answers(group: Group, places: Sequence[int], made: Sequence[Written], how: Decoding, done: Progress) -> None:
    """Write the answers of a group whose prompts were read."""
    rows = [*range(len(made))]  # that are computed, ended or not
    logits = torch.cat(group.heads)
    if how.copies > 1:
        logits = logits.repeat_interleave(how.copies, dim=0)
        group.keep([row // how.copies for row in rows])
    placed = [place * how.copies + copy for place in places for copy in range(how.copies)]
    for step in range(how.max_new_tokens):
        if how.limits:
            how.limits.mask(logits, [None if made[row].finished else placed[row] for row in rows])
        tokens = how.choose(logits, [placed[row] for row in rows], step)
        for row, token in zip(rows, tokens, strict=True):
            _note(made[row], token, placed[row], how)
        open_places = [place for place, row in enumerate(rows) if not made[row].finished]
        ended = len(made) - len(open_places)
        share = (ended + len(open_places) * (step + 1) / how.max_new_tokens) / len(made)
        done.note(places[0], 0.5 * len(places) * (1 + share))
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
