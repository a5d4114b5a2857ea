"""The reply of a version's server, read from a whole answer or from the chunks of a stream."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from tasks.dialogues.special import SpecialTexts
from tasks.serve.gateway.calls import Calls, Output
from tasks.serve.gateway.errors import CLIENT_LEFT, Refusal
from tasks.texts.clean import encodable, joined

MOST_TEXT = 1 << 20  # characters of an answer that are kept
Probabilities = dict[str, dict[str, float]]  # {column: {class: its probability}}, of a version that predicts classes


@dataclass(frozen=True)
class Reply:
    """The first choice of an answer, as far as it was received."""

    output: Output = ""  # for the records: the tool calls if it has any, else its text
    text: str = ""  # in characters that JSON and databases can write
    has_calls: bool = False
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    finish_reason: str | None = None
    probabilities: Probabilities | None = None
    error: str | None = None  # the server failed, or what it sent is not an answer


NOTHING = Reply()


@dataclass(frozen=True)
class Ending:
    """How a request ended: the status of its answer, its error if any, and the server's reply."""

    status: int
    error: str | None
    reply: Reply = NOTHING
    first_token: float | None = None  # seconds to the first byte of a stream
    refusal: Refusal | None = None  # what the client gets in place of the reply


CRASHED = Ending(500, "internal_error")
LEFT = Ending(CLIENT_LEFT, "client_left")


def refused(refusal: Refusal, reply: Reply = NOTHING) -> Ending:
    """The ending of a request that is refused after it was passed on."""
    return Ending(refusal.status, refusal.code, reply, refusal=refusal)


class ReplyReader:
    """Assembles a reply from its parts. `special`: the special texts of the version's tokenizer."""

    def __init__(self, special: SpecialTexts) -> None:
        self._special, self._calls, self._size = special, Calls(), 0
        self._texts: list[str] = []
        self._usage: Mapping[str, object] = {}
        self._finish_reason: str | None = None
        self._probabilities: Probabilities | None = None
        self._error: str | None = None

    def read(self, content: bytes) -> None:
        """Take in a whole answer, or one event of a stream. The reply's `error` is set for what does not have
        vLLM's form."""
        try:
            value = json.loads(content)
            if isinstance(value, dict):
                self._read(value)
        except (ValueError, TypeError):
            self._error = "backend_garbled"

    def reply(self) -> Reply:
        """The reply so far."""
        text = self._repaired("".join(self._texts))
        return Reply(
            self._calls.written(self._repaired) if self._calls else text,
            encodable(text),
            bool(self._calls),
            _count(self._usage, "prompt_tokens"),
            _count(self._usage, "completion_tokens"),
            self._finish_reason,
            self._probabilities,
            self._error,
        )

    def _read(self, value: Mapping[str, object]) -> None:
        if usage := value.get("usage"):
            self._usage = _object(usage, "usage")
        if value.get("error"):
            self._error = "backend_error"
        choices = value.get("choices") or []
        if not isinstance(choices, list):
            raise TypeError("the choices of an answer are not a list")
        for choice in choices:
            self._read_choice(_object(choice, "choice"))

    def _read_choice(self, choice: Mapping[str, object]) -> None:
        if choice.get("index"):
            return
        message = _object(choice.get("message") or choice.get("delta") or choice, "message")
        content = message.get("content") or message.get("text") or ""
        if not isinstance(content, str):
            raise TypeError("the content of an answer is not a text")
        if self._size < MOST_TEXT:
            self._texts.append(content)
            self._size += len(content)
        reason = choice.get("finish_reason")
        self._finish_reason = reason if isinstance(reason, str) and reason else self._finish_reason
        self._probabilities = probabilities(choice.get("probabilities")) or self._probabilities
        if message.get("tool_calls") and self._size < MOST_TEXT:
            self._size += self._calls.read(message["tool_calls"])

    def _repaired(self, text: str) -> str:
        """`text` with characters that came in two pieces joined, and special texts restored."""
        return self._special.original(joined(text))


def _object(value: object, name: str) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        raise TypeError(f"the {name} of an answer is not an object")
    return value


def _count(usage: Mapping[str, object], name: str) -> int | None:
    count = usage.get(name)
    return count if isinstance(count, int) else None


def probabilities(value: object) -> Probabilities | None:
    """The probabilities of a choice, None where it has none; TypeError for what is not probabilities."""
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise TypeError("the probabilities of an answer are not an object")
    return {str(column): _shares(shares) for column, shares in value.items()} or None


def _shares(shares: object) -> dict[str, float]:
    if not isinstance(shares, Mapping) or not shares or not all(_is_share(share) for share in shares.values()):
        raise TypeError("the probabilities of a column are not numbers")
    return {str(name): float(share) for name, share in shares.items()}


def _is_share(share: object) -> bool:
    return isinstance(share, int | float) and 0 <= share <= 1  # no NaN: no database takes it
