"""A trained version that predicts instead of writing: it reads as many waiting texts at once as fit."""

import logging
from collections import deque
from collections.abc import Iterator, Sequence, Sized
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from tasks.dataset.rows import Message, Probabilities
from tasks.errors import AnnealError
from tasks.serve.gateway.errors import bad

if TYPE_CHECKING:
    from torch import nn

    from tasks.dataset.encoded import Processor
    from tasks.models.dialogue_reader import DialogueReader
    from tasks.models.encoder import Reader
    from tasks.models.vision import ImageReader
    from tasks.objectives import Predictor

log = logging.getLogger("anneal.serve")
MOST_TEXTS, MOST_TOKENS = 64, 8192  # of one forward pass; padding counts


@dataclass(frozen=True)
class Prediction:
    """The tokens that were read, and the answer to them as `text`."""

    token_ids: tuple[int, ...]
    text: str
    probabilities: Probabilities | None = None  # of a version that predicts classes


@dataclass(frozen=True)
class ReadingModel:
    """A version that predicts; `waiting`: texts, or images, with the futures of their predictions."""

    objective: "Predictor"
    model: "nn.Module"
    reader: "Processor"
    max_model_len: int
    waiting: "deque[tuple[str | Sized, Future[Prediction]]]" = field(default_factory=deque)

    @property
    def sees(self) -> bool:
        """True if it takes images."""
        return "image" in self.objective.eats

    def decode(self, raw: bytes) -> Sized:
        """The image in `raw`, decoded as for evaluation; NotAnImageError if it is none."""
        return cast("ImageReader", self.reader).of_bytes(raw)

    def put(self, texts: Sequence[str | Sized]) -> "list[Future[Prediction]]":
        """Queue `texts`."""
        futures: list[Future[Prediction]] = [Future() for _ in texts]
        self.waiting.extend(zip(texts, futures, strict=True))
        return futures

    def work(self) -> None:
        """Predict for the texts that wait longest, with one forward pass for those of similar length."""
        taken = [self.waiting.popleft() for _ in range(min(MOST_TEXTS, len(self.waiting)))]
        running = [entry for entry in taken if entry[1].set_running_or_notify_cancel()]
        try:
            read = [(self._tokens_or_refusal(text, future), future) for text, future in running]
            short = [
                (tokens, future) for tokens, future in read if tokens is not None and not self._refused(tokens, future)
            ]
            for group in batches([len(tokens) for tokens, _ in short]):
                predictions = self.predict([short[place][0] for place in group])
                for place, prediction in zip(group, predictions, strict=True):
                    short[place][1].set_result(prediction)
        except Exception as error:
            log.exception("texts could not be read")
            for _, future in running:
                if not future.done():
                    future.set_exception(error)

    def _tokens_or_refusal(self, text: str | Sized, future: "Future[Prediction]") -> Sized | None:
        try:
            return self.tokens(text)
        except AnnealError as error:  # the chat template refuses the messages
            future.set_exception(bad(str(error)[:200], "messages"))
            return None

    def tokens(self, text: str | Sized) -> Sized:
        """`text`, or the messages of a choice, encoded as in evaluation, special texts restored if they were broken up;
        its length is that of its tokens. An image has been decoded already.
        """
        if isinstance(text, list):
            return self._choice(text)
        if not isinstance(text, str):
            return text
        return self.objective.of_text(self.reader, cast("Reader", self.reader).special.original(text))

    def _choice(self, messages: Sequence[Message]) -> Sized:
        reader = cast("DialogueReader", self.reader)
        turns: list[Message] = [
            {"role": turn["role"], "content": reader.special.original(turn["content"])} for turn in messages
        ]
        return reader.choice({"id": "", "messages": turns, "answer": "", "row": {}})

    def predict(self, encoded: Sequence[Sized]) -> list[Prediction]:
        """Predictions for encoded texts, in one forward pass."""
        return [Prediction(**reply) for reply in self.objective.predict(self.model, self.reader, encoded)]

    def _refused(self, tokens: Sized, future: "Future[Prediction]") -> bool:
        if self.objective.in_windows or len(tokens) <= self.max_model_len:
            return False
        words = f"This model's maximum context length is {self.max_model_len} tokens, and the text has {len(tokens)}."
        future.set_exception(bad(words, code="context_length_exceeded"))
        return True


def batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Indices into `lengths` in groups for one forward pass each: at most about half of a group is padding, and none
    has more than MOST_TOKENS with its padding.
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
