"""Reads prompts, and the texts that are scored behind them, and goes on from there, token by token.

A prompt stands left of the text that is scored; the prompt is padded on the left, the text on the right. So one pass
reads both: the text's logits score it, the prompt's last ones say the first token of the answer, and the prompt's keys
and values are a slice of the cache, which the answer goes on from. What all prompts begin with is read once.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from tasks.inference import shared_cache
from tasks.inference.shared_cache import SharedCache


@dataclass(frozen=True)
class ScoredPrompt:
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


class Reader:
    """A model, with the keys and values of the tokens that each prompt begins with."""

    def __init__(self, model: torch.nn.Module, prefix: Sequence[int], in_parts: bool, pad: int) -> None:
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
        self,
        ids: torch.Tensor,
        places: torch.Tensor,
        mask: torch.Tensor,
        cache: SharedCache,
        kept: torch.Tensor | int = 1,
    ) -> torch.Tensor:
        """(rows, kept, vocabulary): logits of the last tokens of `ids`, or of those at the columns `kept`; the tokens
        stand at the positions `places`.
        """
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
    still write.
    """

    def __init__(self, reader: Reader, asked: Sequence[ScoredPrompt], max_new_tokens: int) -> None:
        self.reader, self.asked = reader, asked
        self.lengths = [len(each.prompt) - reader.prefix + len(each.scored) for each in asked]
        self.width = len(asked[0].prompt) - reader.prefix
        columns = math.ceil((self.width + max_new_tokens) / shared_cache.STEP) * shared_cache.STEP
        model, rows = reader.model, len(asked)
        lowest = torch.finfo(model.dtype).min
        self.mask = torch.full((rows, 1, 1, columns), lowest, dtype=model.dtype, device=model.device)
        self.place = torch.tensor([[len(each.prompt)] for each in asked], device=model.device)
        self.cache = reader.cache()
        self.heads: list[torch.Tensor] = []  # logits of the first tokens, part by part

    def read(self, part: Sequence[int], made: Sequence[Written]) -> float:
        """Read the prompts of a `part` and score their texts; the seconds that went into prompts."""
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
        given = min(each.given for each in asked)  # what is only read needs no logits, save the prompt's last token
        kept = torch.tensor([left - 1, *range(left - 1 + max(given, 1), left + right - 1)], device=device)
        logits = self.reader.pass_over(ids.to(device), places.to(device), mask, cache, kept)
        for row, (each, written) in enumerate(zip(asked, made, strict=True)):
            written.nll, written.count = (
                _score(logits[row, 1 if given else 0 :], each, given),
                len(each.scored) - each.given,
            )
        self._keep(part, cache, starts, left)
        self.heads.append(logits[:, 0].clone())
        return (time.monotonic() - began) * left / (left + right)

    def _keep(self, part: Sequence[int], cache: SharedCache, starts: Sequence[int], left: int) -> None:
        """Copy the prompts' keys and values to where the rows of a `part` write on."""
        self.cache.take(cache, part[0], len(self.asked), self.width, left)
        for row, start in zip(part, starts, strict=True):
            self.mask[row, ..., self.width - left + start : self.width] = 0

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


def _score(logits: torch.Tensor, asked: ScoredPrompt, skipped: int) -> float:
    """Nats of a text's scored tokens; `logits` begin before the token behind those `skipped`. In fp32, which of one
    row is small.
    """
    target = torch.tensor(asked.scored[asked.given :], device=logits.device)
    told = logits[asked.given - skipped : len(asked.scored) - skipped].float()
    return float(torch.nn.functional.cross_entropy(told, target, reduction="sum"))
