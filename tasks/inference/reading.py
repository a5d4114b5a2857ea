"""Reads prompts and the texts that are scored after them, and continues the prompts token by token.

A prompt stands left of the text that is scored; the prompt is padded on the left, the text on the right. So one pass
reads both: the text's logits score it, the prompt's last logits give the first token of the answer, and the prompt's
keys and values are a slice of the cache, from which the answer continues. A prefix that all prompts share is read once.
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
    """A prompt, the text that is scored after it, and how many of the text's first tokens are not scored."""

    prompt: list[int]
    scored: list[int]
    given: int = 0


@dataclass
class Written:
    """An answer without its end token, whether it ended itself, and the nll (nats) of `count` scored tokens."""

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
            self.forward_pass(
                torch.tensor([prefix], device=model.device), places, self.causal([0], len(prefix)), shared
            )
            self.shared = shared

    def cache(self) -> SharedCache:
        """An empty cache for rows that begin with the prefix."""
        return SharedCache(self.layers, not self.in_parts, self.shared)

    def causal(self, starts: Sequence[int], columns: int) -> torch.Tensor:
        """The mask of rows that begin at the columns `starts`."""
        return shared_cache.causal(starts, columns, self.model.dtype, self.model.device)

    def forward_pass(
        self,
        ids: torch.Tensor,
        places: torch.Tensor,
        mask: torch.Tensor,
        cache: SharedCache,
        kept: torch.Tensor | int = 1,
    ) -> torch.Tensor:
        """(rows, kept, vocabulary): logits of the last `kept` tokens of `ids`, or of those at the columns `kept`;
        `places` are the positions of the tokens.
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
    """Rows, longest prompt first, that are read in parts and then written together.

    `cache`, `mask` (rows, 1, 1, columns) and `place` (rows, 1), the position of the next token, are of the unfinished
    rows.
    """

    def __init__(self, reader: Reader, asked: Sequence[ScoredPrompt], max_new_tokens: int) -> None:
        self.reader, self.asked = reader, asked
        self.lengths = [len(row.prompt) - reader.prefix + len(row.scored) for row in asked]
        self.width = len(asked[0].prompt) - reader.prefix
        columns = math.ceil((self.width + max_new_tokens) / shared_cache.STEP) * shared_cache.STEP
        model, rows = reader.model, len(asked)
        lowest = torch.finfo(model.dtype).min
        self.mask = torch.full((rows, 1, 1, columns), lowest, dtype=model.dtype, device=model.device)
        self.place = torch.tensor([[len(row.prompt)] for row in asked], device=model.device)
        self.cache = reader.cache()
        self.heads: list[torch.Tensor] = []  # logits of the first tokens, part by part

    def read(self, part: Sequence[int], written: Sequence[Written]) -> float:
        """Read the prompts of a `part` and score their texts; returns the seconds that prompts took."""
        began = time.monotonic()
        asked, device, prefix = [self.asked[row] for row in part], self.reader.model.device, self.reader.prefix
        prompts = [prompt.prompt[prefix:] for prompt in asked]
        left, right = max(map(len, prompts)), max(len(prompt.scored) for prompt in asked)
        ids = torch.full((len(part), left + right), self.reader.pad)
        starts = [left - len(tokens) for tokens in prompts]
        for row, (prompt, start) in enumerate(zip(asked, starts, strict=True)):
            tokens = prompt.prompt[prefix:] + prompt.scored
            ids[row, start : start + len(tokens)] = torch.tensor(tokens)
        places = torch.arange(left + right) - torch.tensor(starts)[:, None]
        last = torch.tensor([[len(prompt.prompt) + len(prompt.scored) - 1] for prompt in asked])
        places = torch.minimum(places.clamp(min=0) + prefix, last)
        cache = self.reader.cache()
        mask = self.reader.causal(starts, left + right)
        given = min(prompt.given for prompt in asked)  # unscored tokens need no logits, except the prompt's last
        kept = torch.tensor([left - 1, *range(left - 1 + max(given, 1), left + right - 1)], device=device)
        logits = self.reader.forward_pass(ids.to(device), places.to(device), mask, cache, kept)
        for row, (prompt, answer) in enumerate(zip(asked, written, strict=True)):
            answer.nll = _score(logits[row, 1 if given else 0 :], prompt, given)
            answer.count = len(prompt.scored) - prompt.given
        self._keep(part, cache, starts, left)
        self.heads.append(logits[:, 0].clone())
        return (time.monotonic() - began) * left / (left + right)

    def _keep(self, part: Sequence[int], cache: SharedCache, starts: Sequence[int], left: int) -> None:
        """Copy the prompts' keys and values to where the answers of a `part` continue."""
        self.cache.take(cache, part[0], len(self.asked), self.width, left)
        for row, start in zip(part, starts, strict=True):
            self.mask[row, ..., self.width - left + start : self.width] = 0

    def step(self, tokens: Sequence[int]) -> torch.Tensor:
        """(rows, vocabulary): logits of what follows `tokens`, one a row."""
        ids = torch.tensor(tokens, device=self.place.device)[:, None]
        self.mask[..., self.cache.used] = 0
        logits = self.reader.forward_pass(ids, self.place, self.mask, self.cache)[:, -1]
        self.place = self.place + 1
        return logits

    def keep(self, rows: Sequence[int]) -> None:
        """Keep only these rows; a row that is named several times is continued as often."""
        kept = torch.tensor(rows, device=self.place.device)
        self.mask, self.place = self.mask[kept], self.place[kept]
        self.cache.keep(kept)


def _score(logits: torch.Tensor, asked: ScoredPrompt, skipped: int) -> float:
    """The nll (nats, in fp32) of a text's scored tokens; `logits` begin with those of its token number `skipped`."""
    target = torch.tensor(asked.scored[asked.given :], dtype=torch.long, device=logits.device)
    scored = logits[asked.given - skipped : len(asked.scored) - skipped].float()
    return float(torch.nn.functional.cross_entropy(scored, target, reduction="sum"))
