"""Alpaca: an instruction, an input that may be empty, and an output; earlier rounds and a system message, if any."""

from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import Field

from tasks.dataset.rows import Example, Message, Prepared
from tasks.stages.prepare import blank, dialogue
from tasks.stages.prepare.guess import Row, columns_set, first_of, is_text, keys
from tasks.stages.prepare.params import Prepare, System
from tasks.stages.prepare.rows import SetAside, Templates
from tasks.stages.prepare.turns import cell
from tasks.texts.clean import clean
from tasks.texts.template import render

summary = "an instruction, an input, an output"
makes: Example = "chat"
USER = "{{ instruction }}{% if input %}\n\n{{ input }}{% endif %}"
NAMES = {
    "instruction": ("instruction", "instructions", "prompt", "question", "query"),
    "input": ("input", "context"),
    "output": ("output", "outputs", "response", "completion", "answer"),
}


class Params(Prepare):
    """The columns of instruction, input and output."""

    shape: Literal["alpaca"]
    instruction: str = Field(default="instruction", min_length=1, description="column")
    input: str = Field(default="input", min_length=1, description="column, if the rows have it")
    output: str = Field(default="output", min_length=1, description="column")
    history: str = Field(
        default="history", min_length=1, description="column of earlier [question, answer] pairs, if the rows have it"
    )
    system: System = None
    system_column: str = Field(default="system", min_length=1, description="column, if the rows have it")


def example(raw: Mapping[str, str], params: Params) -> Prepared:
    """The instruction, an empty line and the input as the question; the output as the answer."""
    row = {"instruction": raw[params.instruction], "input": raw.get(params.input, ""), "output": raw[params.output]}
    if problem := blank.problem(row, templates(params)):
        raise SetAside("blank", problem)
    row = {"id": clean(raw["id"]), **{name: clean(text) for name, text in row.items()}}
    last: list[Message] = [
        {"role": "user", "content": render(USER, row)},
        {"role": "assistant", "content": row["output"]},
    ]
    system = clean(raw.get(params.system_column, "")) or params.system
    turns = [*_history(raw, params.history), *last]
    return {**dialogue.prepared_row(row["id"], turns, "instruction", system=system), "row": row}


def _history(raw: Mapping[str, str], column: str) -> list[Message]:
    rounds = cell(raw, column) if raw.get(column) else []
    turns: list[Message] = []
    for pair in rounds if isinstance(rounds, list) else [rounds]:
        if not (isinstance(pair, list) and len(pair) == 2 and all(isinstance(text, str) for text in pair)):
            raise SetAside("malformed", f"`{column}` is not a list of pairs of a question and an answer")
        question, answer = map(clean, pair)
        turns += ({"role": "user", "content": question}, {"role": "assistant", "content": answer})
    return turns


def templates(params: Params) -> Templates:
    """The same template as in training, and the output."""
    return {"system": params.system, "user": USER, "answer": "{{ output }}"}


def columns(params: Params) -> tuple[str, ...]:
    """Instruction and output, and optional columns that are set."""
    return (params.instruction, params.output, *columns_set(params, "input", "history", "system_column"))


def source_row(row: Mapping[str, str], params: Params) -> dict[str, str] | None:
    """The same columns under their names in the source."""
    return {params.instruction: row["instruction"], params.input: row.get("input", ""), params.output: row["output"]}


def recognise(rows: Sequence[Row]) -> dict[str, object] | None:
    """An instruction and an output by their names, both texts."""
    columns = {key: first_of(rows, names) for key, names in NAMES.items()}
    needed = [columns["instruction"], columns["output"]]
    return keys(columns) if all(column and is_text(rows, column) for column in needed) else None
