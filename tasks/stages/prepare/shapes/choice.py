"""Choices: a prompt and two answers, asked as the first and the second, of which one was preferred; from the same rows
as preferences.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import Field

from tasks.dataset.rows import Example, Message, Prepared
from tasks.dialogues import choices
from tasks.formats.numbers import number, problem
from tasks.stages.prepare import dialogue
from tasks.stages.prepare.guess import Row, columns_set
from tasks.stages.prepare.params import Pairs
from tasks.stages.prepare.rows import SetAside, Templates
from tasks.texts.clean import is_blank

summary = "a prompt and two answers, of which one is better; columns as of preferences"
makes: Example = "choice"


class Params(Pairs):
    """The columns of the prompt, the two answers, and the margin."""

    shape: Literal["choice"]
    margin: str = Field(
        default="margin", min_length=1, description="column, if the rows have it: how much better the chosen answer is"
    )

    @property
    def labels(self) -> list[str]:
        """The one column of the answer."""
        return [choices.COLUMN]


def example(raw: Mapping[str, str], params: Params) -> Prepared:
    """The prompt and both answers as messages, and which is better; their order follows from the texts."""
    preferred = dialogue.preference(raw, params)
    question = preferred["row"][dialogue.QUESTION]
    answers, place = choices.in_order(question, preferred["answer"], preferred["rejected"])
    columns = dict(zip(choices.PAIR, answers, strict=True))
    row: Prepared = {
        "id": preferred["id"],
        "messages": [*preferred["messages"], *(_turn(answer) for answer in answers)],
        "answer": json.dumps({choices.COLUMN: place}),
        "row": {"id": preferred["id"], dialogue.QUESTION: question, **columns, choices.COLUMN: place},
    }
    if not is_blank(text := raw.get(params.margin, "")):
        row["margin"] = _margin(text, params.margin)
    return row


def _turn(answer: str) -> Message:
    return {"role": "assistant", "content": answer}


def _margin(text: str, column: str) -> float:
    value = number(text)
    if value is None:
        raise SetAside("malformed", f"`{column}` is {problem(text)}")
    return value


def templates(params: Params) -> Templates:
    """The last question, and which answer is better."""
    return {"system": params.system, "user": "{{ question }}", "answer": [choices.COLUMN]}


def columns(params: Params) -> tuple[str, ...]:
    """Both answers, and optional columns that are set."""
    return (params.chosen, params.rejected, *columns_set(params, "prompt", "system_column", "margin"))


def source_row(row: Mapping[str, str], params: Params) -> dict[str, str] | None:
    """None: a record keeps the last question only, and a choice may have more turns before its answers."""
    return None


def recognise(rows: Sequence[Row]) -> dict[str, object] | None:
    """None: such rows are preferences, unless a person says otherwise."""
    return None
