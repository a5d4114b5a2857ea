"""Dialogues: a list of turns (OpenAI's role/content, ShareGPT's from/value), with tools where they are called."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from pydantic import Field

from tasks.dataset.rows import Example, Prepared
from tasks.stages.prepare import dialogue
from tasks.stages.prepare.guess import columns_set, list_columns
from tasks.stages.prepare.params import Prepare, Role, System
from tasks.stages.prepare.rows import Templates
from tasks.stages.prepare.tools import tools_of
from tasks.stages.prepare.turns import cell, turns_of
from tasks.texts.clean import clean

summary = "a list of turns; tools and tool calls"
makes: Example = "chat"
MESSAGES = ("messages", "conversations", "conversation", "dialogue", "dialog", "turns", "chat")


class Params(Prepare):
    """The column of the turns, and which of them are trained on."""

    shape: Literal["chat"]
    messages: str = Field(default="messages", min_length=1, description="column of the turns")
    tools: str = Field(default="tools", min_length=1, description="column of the tools, if the rows have it")
    system: System = None
    system_column: str = Field(default="system", min_length=1, description="column, if the rows have it")
    roles: dict[str, Role] = Field(default={}, description="your names for the standard roles: {human: user}")
    train_on: Annotated[
        Literal["all", "last"],
        Field(description="which assistant turns to train on; a turn's own weight takes precedence"),
    ] = "all"


def example(raw: Mapping[str, str], params: Params) -> Prepared:
    """The dialogue up to its last trained turn, which is the answer."""
    turns = turns_of(cell(raw, params.messages), params.messages, params.roles)
    tools = tools_of(raw.get(params.tools, ""), params.tools)
    system = clean(raw.get(params.system_column, "")) or params.system
    return dialogue.prepared_row(
        clean(raw["id"]), turns, params.messages, system=system, tools=tools, train_on=params.train_on
    )


def templates(params: Params) -> Templates:
    """The last question, and its answer."""
    return {"system": params.system, "user": "{{ question }}", "answer": "{{ answer }}"}


def columns(params: Params) -> tuple[str, ...]:
    """The turns, and optional columns that are set."""
    return (params.messages, *columns_set(params, "tools", "system_column"))


def source_row(row: Mapping[str, str], params: Params) -> dict[str, str] | None:
    """A dialogue of one question and one answer."""
    return {params.messages: dialogue.as_json(row[dialogue.QUESTION], row[dialogue.ANSWER])}


def recognise(rows: Sequence[Mapping[str, object]]) -> dict[str, object] | None:
    """A column that holds lists of turns."""
    for column in list_columns(rows, MESSAGES):
        return {} if column == "messages" else {"messages": column}
    return None
