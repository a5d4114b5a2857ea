"""The prepared row of a dialogue: the messages before the answer, the answer, and the last question; and of two
answers.
"""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Literal

from tasks.dataset.rows import Message, Prepared
from tasks.formats.tools import Tool
from tasks.stages.prepare import tools as tool
from tasks.stages.prepare import turns as turn
from tasks.stages.prepare.params import Pairs
from tasks.stages.prepare.rows import SetAside
from tasks.texts.clean import clean, folded, is_blank

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


def preference(raw: Mapping[str, str], params: Pairs) -> Prepared:
    """The prompt's turns, and both answers; SetAside for a malformed row, and for answers that say the same."""
    given = (
        turn.text_or_turns(raw[params.prompt], params.prompt, params.roles, "user") if raw.get(params.prompt) else []
    )
    sides = params.chosen, params.rejected
    chosen, rejected = (turn.text_or_turns(raw[name], name, params.roles, "assistant") for name in sides)
    system = clean(raw.get(params.system_column, "")) or params.system
    before = [_before(turns, given, name) for turns, name in zip((chosen, rejected), sides, strict=True)]
    if before[0] != before[1]:
        raise SetAside("malformed", "its two dialogues differ in more than their last turn")
    messages = prompt(before[0], params.prompt if given else params.chosen, system)
    best, other = (turns[-1]["content"] for turns in (chosen, rejected))
    best, other = require_text(best, params.chosen), require_text(other, params.rejected)
    if folded(best) == folded(other):
        raise SetAside("no_preference", f"`{params.chosen}` and `{params.rejected}` say the same")
    identity = clean(raw["id"])
    row = {"id": identity, QUESTION: last_question(messages), ANSWER: best}
    return {"id": identity, "messages": messages, "answer": best, "row": row, "rejected": other}


def _before(turns: Sequence[Message], prompt: Sequence[Message], column: str) -> list[Message]:
    """The turns before the answer, which is the last one: those of a whole dialogue, or else the prompt."""
    if turns[-1]["role"] != "assistant":
        raise SetAside("malformed", f"the last turn of `{column}` is not of the assistant")
    before = list(turns[:-1]) or list(prompt)
    if not before:
        raise SetAside("malformed", f"it has no prompt, and `{column}` is not a whole dialogue")
    return before


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
