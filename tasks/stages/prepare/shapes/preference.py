"""Preferences: a prompt and two answers, of which the first was chosen; as texts, as turns, or as whole dialogues."""

from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import Field

from tasks.dataset.rows import Example, Message, Prepared
from tasks.stages.prepare import dialogue
from tasks.stages.prepare.dialogue import ANSWER, QUESTION
from tasks.stages.prepare.guess import Row, columns_set, first_of, holds_turns, is_text, list_columns
from tasks.stages.prepare.params import Prepare, Role, System
from tasks.stages.prepare.rows import SetAside, Templates
from tasks.stages.prepare.turns import text_or_turns
from tasks.texts.clean import clean, folded

summary = "a prompt, a chosen and a rejected answer"
makes: Example = "preference"
CHOSEN, REJECTED = ("chosen", "preferred"), ("rejected", "dispreferred")
PROMPTS = ("prompt", "question", "instruction", "conversations", "messages", "input", "context", "query")


class Params(Prepare):
    """The columns of the prompt and the two answers."""

    shape: Literal["preference"]
    prompt: str = Field(
        default="prompt", min_length=1, description="column; not needed if the answers are whole dialogues"
    )
    chosen: str = Field(default="chosen", min_length=1, description="column")
    rejected: str = Field(default="rejected", min_length=1, description="column")
    system: System = None
    system_column: str = Field(default="system", min_length=1, description="column, if the rows have it")
    roles: dict[str, Role] = Field(default={}, description="your names for the standard roles: {human: user}")


def example(raw: Mapping[str, str], params: Params) -> Prepared:
    """The prompt's turns, and both answers."""
    given = text_or_turns(raw[params.prompt], params.prompt, params.roles, "user") if raw.get(params.prompt) else []
    chosen, rejected = (text_or_turns(raw[name], name, params.roles, "assistant") for name in _sides(params))
    system = clean(raw.get(params.system_column, "")) or params.system
    before = [_before(turns, given, name) for turns, name in zip((chosen, rejected), _sides(params), strict=True)]
    if before[0] != before[1]:
        raise SetAside("malformed", "its two dialogues differ in more than their last turn")
    messages = dialogue.prompt(before[0], params.prompt if given else params.chosen, system)
    best, other = (turns[-1]["content"] for turns in (chosen, rejected))
    best, other = dialogue.require_text(best, params.chosen), dialogue.require_text(other, params.rejected)
    if folded(best) == folded(other):
        raise SetAside("no_preference", f"`{params.chosen}` and `{params.rejected}` say the same")
    identity = clean(raw["id"])
    row = {"id": identity, QUESTION: dialogue.last_question(messages), ANSWER: best}
    return {"id": identity, "messages": messages, "answer": best, "row": row, "rejected": other}


def _sides(params: Params) -> tuple[str, str]:
    return params.chosen, params.rejected


def _before(turns: Sequence[Message], prompt: Sequence[Message], column: str) -> list[Message]:
    """The turns before the answer, which is the last one: those of a whole dialogue, or else the prompt."""
    if turns[-1]["role"] != "assistant":
        raise SetAside("malformed", f"the last turn of `{column}` is not of the assistant")
    before = list(turns[:-1]) or list(prompt)
    if not before:
        raise SetAside("malformed", f"it has no prompt, and `{column}` is not a whole dialogue")
    return before


def templates(params: Params) -> Templates:
    """The last question, and the chosen answer."""
    return {"system": params.system, "user": "{{ question }}", "answer": "{{ answer }}"}


def columns(params: Params) -> tuple[str, ...]:
    """Both answers, and optional columns that are set."""
    return (*_sides(params), *columns_set(params, "prompt", "system_column"))


def source_row(row: Mapping[str, str], params: Params) -> dict[str, str] | None:
    """None: a corrected answer is preferred, but no rejected one is known."""
    return None


def recognise(rows: Sequence[Row]) -> dict[str, object] | None:
    """A chosen and a rejected answer by their names, and a prompt unless they are whole dialogues."""
    chosen, rejected = first_of(rows, CHOSEN), first_of(rows, REJECTED)
    if chosen is None or rejected is None:
        return None
    if not all(is_text(rows, side) or holds_turns(rows, side) for side in (chosen, rejected)):
        return None
    others = [column for column in list_columns(rows, PROMPTS) if column not in (chosen, rejected)]
    prompt = first_of(rows, PROMPTS) or next(iter(others), None)
    columns = {"prompt": prompt, "chosen": chosen, "rejected": rejected}
    return {key: column for key, column in columns.items() if column is not None and column != key}
