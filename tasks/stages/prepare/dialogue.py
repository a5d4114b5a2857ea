"""The prepared row of a dialogue: the messages before the answer, the answer, and the last question."""

import json
from collections.abc import Sequence
from contextlib import suppress
from typing import Literal

from tasks.dataset.rows import Message, Prepared
from tasks.formats.tools import Tool
from tasks.stages.prepare import tools as tool
from tasks.stages.prepare import turns as turn
from tasks.stages.prepare.rows import SetAside
from tasks.texts.clean import is_blank

TrainOn = Literal["all", "last"]
QUESTION, ANSWER = "question", "answer"


def prepared_row(
    identity: str,
    turns: Sequence[Message],
    what: str,
    *,
    system: str | None = None,
    tools: Sequence[Tool] = (),
    train_on: TrainOn = "all",
) -> Prepared:
    """The row of a dialogue up to its last trained turn; SetAside if it is malformed or no turn is trained on."""
    turn.check(turns, what, tools)
    last = max((place for place, message in enumerate(turns) if _is_trained(message)), default=None)
    if last is None:
        raise SetAside("malformed", f"no turn of `{what}` is trained on: all have weight 0")
    before = [_read_only(message) if train_on == "last" else message.copy() for message in turns[:last]]
    answer = turns[last]
    text = tool.to_json(answer["tool_calls"]) if answer.get("tool_calls") else answer["content"]
    row: Prepared = {
        "id": identity,
        "messages": [*_system(before, system), *before],
        "answer": text,
        "row": {"id": identity, QUESTION: last_question(before), ANSWER: text},
    }
    if answer.get("tool_calls"):
        row["calls"] = answer["tool_calls"]
    if answer.get("weight", 1) != 1:
        row["weight"] = answer["weight"]
    if tools:
        row["tools"] = [entry.copy() for entry in tools]
    return row


def prompt(turns: Sequence[Message], what: str, system: str | None) -> list[Message]:
    """The messages before an answer; SetAside unless an assistant's turn may follow."""
    turn.check([*turns, {"role": "assistant", "content": "a"}], what)
    return [*_system(turns, system), *(message.copy() for message in turns)]


def last_question(messages: Sequence[Message]) -> str:
    """The content of the last user message."""
    return next(message["content"] for message in reversed(messages) if message["role"] == "user")


def as_json(question: str, answer: str) -> str:
    """A dialogue of one question and one answer, which may be tool calls, as a cell of a source."""
    reply: Message = {"role": "assistant", "content": answer}
    if answer.startswith("["):
        with suppress(SetAside):
            reply = {"role": "assistant", "content": "", "tool_calls": tool.calls_of(answer, ANSWER)}
    return json.dumps([{"role": "user", "content": question}, reply], ensure_ascii=False)


def require_text(text: str, what: str) -> str:
    """`text`; SetAside if it is blank."""
    if is_blank(text):
        raise SetAside("blank", f"`{what}` is empty")
    return text


def _is_trained(message: Message) -> bool:
    return message["role"] == "assistant" and message.get("weight", 1) != 0


def _read_only(message: Message) -> Message:
    return {**message, "weight": 0.0} if message["role"] == "assistant" else message.copy()


def _system(turns: Sequence[Message], system: str | None) -> list[Message]:
    """The system message of the dataset, for a dialogue without one of its own."""
    return [{"role": "system", "content": system}] if system and turns[0]["role"] != "system" else []
