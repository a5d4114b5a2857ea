"""What a model that writes says to many prompts, and how likely it finds what it should have said: both from one
reading.

A prompt stands left of the text that is scored; the prompt is padded on the left, the text on the right. So one pass
reads both: the text's logits score it, the prompt's last ones say the first token of the answer, and as long as the
answer is what the text says (its form mostly is), the text's logits say the next. Their keys and values are a slice of
the cache, which the answer goes on from. What all prompts begin with is read once. Batches that are read are small, so
that little is padding; many rows write together, since then each costs least; rows that have ended leave.
"""

import math
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch

from tasks import shared_cache
from tasks.batches import batches, longest_first
from tasks.shared_cache import SharedCache

# Tokens of a pass that reads, padding included: on a CPU so few that what is between the products stays in its cache.
READ_AT_ONCE, READ_ON_A_CPU = 4096, 768
HELD_AT_ONCE = 2**31  # bytes of keys and values
AGREED = 32  # tokens at most in which an answer follows the scored text, and is not written on its own
LEAVING = 0.9  # rows that have ended are left out as soon as the others are fewer than this share


@dataclass(frozen=True)
class Asked:
    """A prompt, the text that is scored behind it, and how many of the text's tokens are only read."""

    prompt: list[int]
    scored: list[int]
    given: int = 0


@dataclass
class Written:
    """An answer without its end; whether it ended by itself; the nll (nats) of `count` tokens of the scored text."""

    tokens: list[int] = field(default_factory=list)
    finished: bool = False
    nll: float = 0.0
    count: int = 0


class Limits(Protocol):
    """What an answer may be: what a JSON `schema` says; rows are named by their places among the prompts."""

    schema: Mapping[str, Any]

    def mask(self, logits: torch.Tensor, places: Sequence[int | None]) -> None:
        """Make the logits, (rows, vocabulary), of what may not come next -inf; None is a row that has ended."""

    def accept(self, place: int, token: int) -> None:
        """Note what came."""


@dataclass(frozen=True)
class How:
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

    def goes_on(self, written: Written) -> bool:
        """Whether more is to be written."""
        return not written.finished and len(written.tokens) < self.max_new_tokens


def write(model: Any, asked: Sequence[Asked], prefix: Sequence[int], how: How) -> tuple[list[Written], float]:
    """Greedy answers to prompts that all begin with `prefix` and go on, and the seconds that they took."""
    made, seconds, done = [Written() for _ in asked], 0.0, 0
    at_once = min(READ_AT_ONCE, READ_ON_A_CPU) if model.device.type == "cpu" else READ_AT_ONCE
    with torch.inference_mode(), shared_cache.attending(model) as in_parts:
        reader = Reader(model, prefix, in_parts, how.pad)
        for places in _groups(model, asked, len(prefix), how):
            group = Group(reader, [asked[place] for place in places], [made[place] for place in places], places, how)
            for part in batches(range(len(places)), group.lengths, len(places), at_once):
                seconds += group.read(part)
                how.progress(done + 0.5 * (part[-1] + 1))
            began = time.monotonic()
            if how.writes:
                _go_on(group, done)
            seconds += time.monotonic() - began
            done += len(places)
    return made, seconds


def _groups(model: Any, asked: Sequence[Asked], prefix: int, how: How) -> Iterator[list[int]]:
    """Places of rows that write together, longest first: nearly equally many, at most `rows`, and what memory holds."""
    lengths = [len(each.prompt) - prefix + how.max_new_tokens for each in asked]
    even = math.ceil(len(asked) / math.ceil(len(asked) / how.rows)) if asked else 1
    return batches(longest_first(lengths), lengths, even, HELD_AT_ONCE // shared_cache.bytes_a_token(model))


class Reader:
    """A model, with the keys and values of the tokens that each prompt begins with."""

    def __init__(self, model: Any, prefix: Sequence[int], in_parts: bool, pad: int) -> None:
        self.model, self.in_parts, self.pad, self.prefix = model, in_parts, pad, len(prefix)
        self.layers = shared_cache.count_layers(model)
        self.shared: SharedCache | None = None
        if prefix:
            shared = SharedCache(self.layers, joined=True)
            places = torch.arange(len(prefix), device=model.device)[None]
            self.pass_over(torch.tensor([prefix], device=model.device), places, self.causal([0], len(prefix)), shared)
            self.shared = shared

    def cache(self) -> SharedCache:
        """An empty one, for rows that begin with the prefix."""
        return SharedCache(self.layers, not self.in_parts, self.shared)

    def causal(self, starts: Sequence[int], columns: int) -> torch.Tensor:
        """The mask of rows that begin at the columns `starts`."""
        return shared_cache.causal(starts, columns, self.model.dtype, self.model.device)

    def pass_over(
        self, ids: torch.Tensor, places: torch.Tensor, mask: torch.Tensor, cache: SharedCache, kept: int = 1
    ) -> torch.Tensor:
        """(rows, kept, vocabulary): logits of the last tokens of `ids`, which stand at the positions `places`."""
        logits: torch.Tensor = self.model(
            input_ids=ids,
            position_ids=places,
            attention_mask=cache.masked(mask, ids.shape[1]),
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=kept,
        ).logits
        return logits


class Group:
    """Rows, longest prompt first, that are read part by part and then write together.

    `cache`, `mask` (rows, 1, 1, columns) and `place` (rows, 1), where the next token will stand, are of those that
    still write; `tokens` were chosen last; the limits know the rows by `places`.
    """

    def __init__(
        self, reader: Reader, asked: Sequence[Asked], made: Sequence[Written], places: Sequence[int], how: How
    ) -> None:
        self.reader, self.asked, self.made, self.places, self.how = reader, asked, made, places, how
        self.lengths = [len(each.prompt) - reader.prefix + len(each.scored) for each in asked]
        self.width = len(asked[0].prompt) - reader.prefix
        self.agreed = min(AGREED, how.max_new_tokens - 1, max(len(each.scored) for each in asked) - 1)
        columns = math.ceil((self.width + self.agreed + how.max_new_tokens) / shared_cache.STEP) * shared_cache.STEP
        dtype, device = reader.model.dtype, reader.model.device
        self.mask = torch.full((len(asked), 1, 1, columns), torch.finfo(dtype).min, dtype=dtype, device=device)
        self.place = torch.tensor([[len(each.prompt)] for each in asked], device=device)
        self.cache, self.tokens = reader.cache(), list[int]()

    def read(self, part: Sequence[int]) -> float:
        """Read the prompts of a `part` and score their texts; the seconds that went into prompts and answers."""
        began = time.monotonic()
        asked, device, prefix = [self.asked[row] for row in part], self.reader.model.device, self.reader.prefix
        own = [each.prompt[prefix:] for each in asked]
        left, right = max(map(len, own)), max(len(each.scored) for each in asked)
        ids = torch.full((len(part), left + right), self.reader.pad)
        starts = [left - len(tokens) for tokens in own]
        for row, (each, start) in enumerate(zip(asked, starts, strict=True)):
            tokens = each.prompt[prefix:] + each.scored
            ids[row, start : start + len(tokens)] = torch.tensor(tokens)
        places = torch.arange(left + right) - torch.tensor(starts)[:, None]
        last = torch.tensor([[len(each.prompt) + len(each.scored) - 1] for each in asked])
        places = torch.minimum(places.clamp(min=0) + prefix, last)
        cache = self.reader.cache()
        mask = self.reader.causal(starts, left + right)
        logits = self.reader.pass_over(ids.to(device), places.to(device), mask, cache, right + 1)
        for of_row, each, row in zip(logits, asked, part, strict=True):
            self.made[row].nll, self.made[row].count = _score(of_row, each), len(each.scored) - each.given
        follows = self._follow(part, logits) if self.how.writes else [0] * len(part)
        if self.how.writes:
            self.cache.take(cache, part[0], len(self.asked), self.width, left, self.agreed)
        for row, start, count in zip(part, starts, follows, strict=True):
            self.mask[row, ..., self.width - left + start : self.width + count] = 0
            self.place[row] += count
        return (time.monotonic() - began) * (left + sum(follows) / len(follows)) / (left + right)

    def _follow(self, part: Sequence[int], logits: torch.Tensor) -> list[int]:
        """Choose tokens as long as they are those of the scored text, and one more: how many are, a row."""
        chosen, follows, agreeing = [0] * len(part), [0] * len(part), [*range(len(part))]
        while agreeing:
            column = follows[agreeing[0]]
            tokens = self.choose([part[row] for row in agreeing], logits[agreeing, column])
            for row, token in zip(agreeing, tokens, strict=True):
                text = self.asked[part[row]].scored
                chosen[row] = token
                follows[row] += column < min(self.agreed, len(text) - 1) and token == text[column]
            agreeing = [row for row in agreeing if follows[row] > column]
        self.tokens += chosen
        return follows

    def choose(self, rows: Sequence[int], logits: torch.Tensor) -> list[int]:
        """The likeliest token of each of `rows` that may come next; of those that still write it is noted."""
        limits, on = self.how.limits, [self.how.goes_on(self.made[row]) for row in rows]
        if limits:
            limits.mask(logits, [self.places[row] if goes_on else None for row, goes_on in zip(rows, on, strict=True)])
        tokens: list[int] = logits.argmax(-1).tolist()
        for row, token in ((row, token) for row, token, goes_on in zip(rows, tokens, on, strict=True) if goes_on):
            self.made[row].finished = token in self.how.ends
            if not self.made[row].finished:
                self.made[row].tokens.append(token)
                if limits:
                    limits.accept(self.places[row], token)
        return tokens

    def step(self, tokens: Sequence[int]) -> torch.Tensor:
        """(rows, vocabulary): logits of what follows `tokens`, one a row."""
        ids = torch.tensor(tokens, device=self.place.device)[:, None]
        self.mask[..., self.cache.used] = 0
        logits = self.reader.pass_over(ids, self.place, self.mask, self.cache)[:, -1]
        self.place = self.place + 1
        return logits

    def keep(self, rows: Sequence[int]) -> None:
        """Leave out all rows but these."""
        kept = torch.tensor(rows, device=self.place.device)
        self.mask, self.place = self.mask[kept], self.place[kept]
        self.cache.keep(kept)


def _score(logits: torch.Tensor, asked: Asked) -> float:
    """Nats of a text's scored tokens; `logits` begin before its first token. In fp32, which of one row is small."""
    target = torch.tensor(asked.scored[asked.given :], device=logits.device)
    told = logits[asked.given : len(asked.scored)].float()
    return float(torch.nn.functional.cross_entropy(told, target, reduction="sum"))


def _go_on(group: Group, done: int) -> None:
    """Write the rest of the answers of a group that was read."""
    made, how, tokens = group.made, group.how, group.tokens
    rows = [*range(len(made))]  # that are computed, ended or not
    while open_places := [place for place, row in enumerate(rows) if how.goes_on(made[row])]:
        written = sum(len(made[rows[place]].tokens) for place in open_places) / how.max_new_tokens
        how.progress(done + 0.5 * (2 * len(made) - len(open_places) + written))
        if len(open_places) < LEAVING * len(rows):
            group.keep(open_places)
            rows, tokens = [rows[place] for place in open_places], [tokens[place] for place in open_places]
        tokens = group.choose(rows, group.step(tokens))
