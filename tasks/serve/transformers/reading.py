"""A trained version that reads and does not write: what it says of texts, as many at once as wait for it."""

import logging
from collections import deque
from collections.abc import Iterator, Sequence, Sized
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from tasks.serve.gateway.errors import bad

log = logging.getLogger("anneal.serve")
MOST_TEXTS, MOST_TOKENS = 64, 8192  # of one forward pass; padding counts
Told = dict[str, dict[str, float]]  # {column: {class: its probability}}


@dataclass(frozen=True)
class Said:
    """What was read and what it came to; `text` is the written answer."""

    token_ids: tuple[int, ...]
    text: str
    probabilities: Told | None = None  # of a version that tells classes


@dataclass(frozen=True)
class Reads:
    """A version that can be asked about texts; `waiting`: texts, and who is told."""

    objective: ModuleType
    model: Any
    reader: Any
    max_model_len: int
    waiting: "deque[tuple[str | Sized, Future[Said]]]" = field(default_factory=deque)

    @property
    def sees(self) -> bool:
        """Whether it is asked about images."""
        return "image" in self.objective.eats

    def seen(self, raw: bytes) -> Sized:
        """The image in `raw` as evaluation saw it, ready to wait; NotAnImageError where there is none."""
        seen: Sized = self.reader.of_bytes(raw)
        return seen

    def put(self, texts: Sequence[str | Sized]) -> "list[Future[Said]]":
        """Let `texts` wait."""
        futures: list[Future[Said]] = [Future() for _ in texts]
        self.waiting.extend(zip(texts, futures, strict=True))
        return futures

    def work(self) -> None:
        """Tell what the texts come to that wait longest, in one forward pass for those of like length."""
        taken = [self.waiting.popleft() for _ in range(min(MOST_TEXTS, len(self.waiting)))]
        waited_for = [entry for entry in taken if entry[1].set_running_or_notify_cancel()]
        try:
            read = [(self.tokens(text), future) for text, future in waited_for]
            short = [(tokens, future) for tokens, future in read if not self._refused(tokens, future)]
            for group in alike([len(tokens) for tokens, _ in short]):
                for place, said in zip(group, self.said([short[place][0] for place in group]), strict=True):
                    short[place][1].set_result(said)
        except Exception as error:
            log.exception("texts could not be read")
            for _, future in waited_for:
                if not future.done():
                    future.set_exception(error)

    def tokens(self, text: str | Sized) -> Sized:
        """`text` as evaluation read it, as long as its tokens; whether its special texts were broken before or not. An
        image has been seen already.
        """
        if not isinstance(text, str):
            return text
        read: Sized = self.objective.of_text(self.reader, self.reader.special.original(text))
        return read

    def said(self, read: Sequence[Sized]) -> list[Said]:
        """What texts of these tokens come to, in one forward pass."""
        return [Said(**told) for told in self.objective.tell(self.model, self.reader, read)]

    def _refused(self, tokens: Sized, future: "Future[Said]") -> bool:
        if self.objective.in_windows or len(tokens) <= self.max_model_len:
            return False
        words = f"This model's maximum context length is {self.max_model_len} tokens, and the text has {len(tokens)}."
        future.set_exception(bad(words, code="context_length_exceeded"))
        return True


def alike(lengths: Sequence[int]) -> Iterator[list[int]]:
    """The places of `lengths` in groups for one forward pass each: hardly half of one is padding, MOST_TOKENS the most
    that it reads.
    """
    group: list[int] = []
    for place in sorted(range(len(lengths)), key=lambda place: (-lengths[place], place)):
        longest = lengths[group[0]] if group else 0
        if group and (2 * lengths[place] < longest or longest * (len(group) + 1) > MOST_TOKENS):
            yield group
            group = []
        group.append(place)
    if group:
        yield group


def load(weights: Path, trained: Path, max_model_len: int) -> Reads:
    """The version in `trained`, on its parent's `weights`."""
    from tasks import tuned

    model, reader = tuned.load(weights, trained), tuned.tokenizer(weights, trained)
    return Reads(tuned.asker(trained), model, reader, max_model_len)
