"""A trained version that reads: its predictions for texts, for as many at once as are waiting."""

import logging
from collections import deque
from collections.abc import Iterator, Sequence, Sized
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from tasks.dataset.rows import Probabilities
from tasks.serve.gateway.errors import bad

if TYPE_CHECKING:
    from torch import nn

    from tasks.dataset.encoded import Processor
    from tasks.models.encoder import Reader
    from tasks.models.vision import ImageReader
    from tasks.objectives import Predictor

log = logging.getLogger("anneal.serve")
MOST_TEXTS, MOST_TOKENS = 64, 8192  # of one forward pass; padding counts


@dataclass(frozen=True)
class Said:
    """What was read and what it came to; `text` is the written answer."""

    token_ids: tuple[int, ...]
    text: str
    probabilities: Probabilities | None = None  # of a version that tells classes


@dataclass(frozen=True)
class Reads:
    """A version that can be asked about texts; `waiting`: texts, and who is told."""

    objective: "Predictor"
    model: "nn.Module"
    reader: "Processor"
    max_model_len: int
    waiting: "deque[tuple[str | Sized, Future[Said]]]" = field(default_factory=deque)

    @property
    def sees(self) -> bool:
        """Whether it is asked about images."""
        return "image" in self.objective.eats

    def seen(self, raw: bytes) -> Sized:
        """The image in `raw` as evaluation saw it, ready to wait; NotAnImageError where there is none."""
        return cast("ImageReader", self.reader).of_bytes(raw)

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
        return self.objective.of_text(self.reader, cast("Reader", self.reader).special.original(text))

    def said(self, read: Sequence[Sized]) -> list[Said]:
        """What texts of these tokens come to, in one forward pass."""
        return [Said(**told) for told in self.objective.predict(self.model, self.reader, read)]

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
