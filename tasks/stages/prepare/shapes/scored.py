"""Texts with one or several numbers, for regression (ratings, scores)."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from pydantic import Field

from tasks.dataset.rows import Example, Prepared
from tasks.formats import numbers
from tasks.formats.number_answer import KIND
from tasks.stages.prepare import blank
from tasks.stages.prepare.format import fill_templates
from tasks.stages.prepare.guess import Row, are_few_and_whole, is_prose, references
from tasks.stages.prepare.params import Prepare
from tasks.stages.prepare.rows import SetAside, Templates
from tasks.texts import template
from tasks.texts.clean import clean

summary = "a text (a template over columns) and one or several numbers"
makes: Example = "scored"
NAMES = (
    "score",
    "scores",
    "rating",
    "ratings",
    "stars",
    "grade",
    "similarity",
    "similarity_score",
    "relatedness_score",
    "price",
)
LABELS = ("label", "target", "value")  # of numbers that are not whole


class Params(Prepare):
    """Where the text is, and the numbers."""

    shape: Literal["scored"]
    user: Annotated[str, Field(min_length=1, description="Jinja template of the text")]
    numbers: Annotated[list[str], Field(min_length=1, description="columns with a number each")]


def example(raw: Mapping[str, str], params: Params) -> Prepared:
    """The text as one message, the numbers as one JSON object; SetAside for a blank text or a cell without one."""
    if reason := blank.problem(raw, {"system": None, "user": params.user, "answer": params.numbers}):
        raise SetAside("blank", reason)
    row = {name: clean(text) for name, text in raw.items()}
    for column in params.numbers:
        value = numbers.number(row[column])
        if value is None:
            raise SetAside("malformed", f"`{column}` is {numbers.problem(row[column])}")
        row[column] = numbers.format_number(value)
    return fill_templates(row, templates(params))


def templates(params: Params) -> Templates:
    """No system message: the text is read unchanged."""
    return {"system": None, "user": params.user, "answer": dict.fromkeys(params.numbers, KIND)}


def columns(params: Params) -> tuple[str, ...]:
    """The columns of the template, without the id, and the numbers."""
    return tuple(column for column in template.columns_of_all(params.user, params.numbers) if column != "id")


def source_row(row: Mapping[str, str], params: Params) -> dict[str, str] | None:
    """The same columns."""
    return dict(row)


def recognise(rows: Sequence[Row]) -> dict[str, object] | None:
    """One column that is named like a score and holds several numbers, beside columns of texts and no others."""
    names = [column for column in (rows[0] if rows else ()) if column != "id"]
    scores = [column for column in names if _is_called_score(rows, column)]
    texts = [column for column in names if column not in scores]
    if len(scores) != 1 or not texts or not all(is_prose(rows, column) for column in texts):
        return None
    values = {numbers.number(str(row.get(scores[0]))) for row in rows}
    return {"user": references(texts), "numbers": scores} if None not in values and len(values) > 1 else None


def _is_called_score(rows: Sequence[Row], column: str) -> bool:
    name = column.casefold()
    return name in NAMES or (name in LABELS and not are_few_and_whole([row.get(column) for row in rows]))
