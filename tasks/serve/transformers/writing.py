"""One answer as it is generated: tokens become text chunk by chunk, until an end of turn or a stop text."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tasks.dataset.rows import Probabilities


@dataclass(frozen=True)
class Answer:
    """A whole answer; `token_ids` has the end of turn, `text` has neither that nor the stop text.

    `probabilities`: {column: {class: share}} if the model predicts; {span: {label: share}} if it is a tagger.
    """

    token_ids: tuple[int, ...]
    text: str
    finish_reason: Literal["stop", "length"]
    probabilities: Probabilities | None = None


class Writer:
    """Takes tokens and passes pieces of text to `emit`, with the tokens since the last piece.

    Text that may begin one of `stops` is held back until it is known not to. `ends`: tokens that
    end the turn.
    """

    def __init__(
        self,
        tokenizer: Any,
        ends: Collection[int],
        stops: Sequence[str],
        emit: Callable[[str, tuple[int, ...]], None],
    ) -> None:
        from tokenizers.decoders import DecodeStream

        self.tokenizer, self.ends, self.stops, self.emit = tokenizer, ends, stops, emit
        self.tokens: list[int] = []
        self.text, self.has_ended = "", False
        self._stream = DecodeStream(skip_special_tokens=True)
        self._sent = self._sent_tokens = 0

    def take(self, token: int) -> None:
        """Take the next token; `has_ended` says that the answer has ended with it."""
        self.tokens.append(token)
        if token in self.ends:
            self.has_ended = True
            return
        self.text += self._stream.step(self.tokenizer.backend_tokenizer, token) or ""
        places = [place for stop in self.stops if (place := self.text.find(stop)) >= 0]
        if places:
            self.text, self.has_ended = self.text[: min(places)], True
            return
        self._send(len(self.text) - self._held())

    def close(self) -> Answer:
        """The whole answer, once no token follows; what was held back is sent."""
        if not (self.has_ended and self.tokens and self.tokens[-1] not in self.ends):  # not cut at a stop text
            tokens = self.tokens[:-1] if self.has_ended else self.tokens
            whole = self.tokenizer.decode(tokens, skip_special_tokens=True)
            self.text = whole if whole.startswith(self.text[: self._sent]) else self.text
        self._send(len(self.text))
        return Answer(tuple(self.tokens), self.text, "stop" if self.has_ended else "length")

    def _held(self) -> int:
        """Characters at the end of the text that a stop text begins with."""
        longest = max(map(len, self.stops), default=1) - 1
        sizes = range(min(longest, len(self.text)), 0, -1)
        return next((size for size in sizes if any(stop.startswith(self.text[-size:]) for stop in self.stops)), 0)

    def _send(self, until: int) -> None:
        if until > self._sent:
            tokens = tuple(self.tokens[self._sent_tokens :])
            self.emit(self.text[self._sent : until], tokens)
            self._sent, self._sent_tokens = until, len(self.tokens)
