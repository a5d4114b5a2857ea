"""Texts, each with one or several labels, for models that tell classes apart."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from pydantic import Field

from tasks import template
from tasks.clean import clean, is_blank
from tasks.prepare import blank
from tasks.prepare.format import filled
from tasks.prepare.guess import Row, is_text
from tasks.prepare.params import Prepare
from tasks.prepare.rows import Example, Prepared, SetAside, Templates

summary = "a text (a template over columns) and one or several labels"
makes: Example = "labelled"
NAMES = ("label", "class", "category", "intent", "sentiment", "topic", "target")
TAKEN = ("prompt", "completion", "instruction", "output", "answer", "response", "source")  # by shapes that write
LONGEST = 40  # characters of a class


class Params(Prepare):
    """Where the text is, and the labels."""

    shape: Literal["labelled"]
    user: Annotated[str, Field(min_length=1, description="Jinja template of the text over the row's columns")]
    labels: Annotated[list[str], Field(min_length=1, description="columns, each of a few classes")]


def example(raw: Mapping[str, str], params: Params) -> Prepared:
    """The text as one message, the labels as one JSON object; SetAside for a text or a label that is blank."""
    if words := blank.problem(raw, templates(params)):
        raise SetAside("blank", words)
    row = {name: clean(text) for name, text in raw.items()}
    for label in params.labels:
        if is_blank(row[label]):
            raise SetAside("blank", f"`{label}` is empty")
    return filled(row, templates(params))


def templates(params: Params) -> Templates:
    """No system message: a text is read as it is."""
    return {"system": None, "user": params.user, "answer": params.labels}


def columns(params: Params) -> tuple[str, ...]:
    """The columns that the template names, but the id, and the labels."""
    named = dict.fromkeys([*template.columns(params.user), *params.labels])
    return tuple(column for column in named if column != "id")


def source_row(row: Mapping[str, str], params: Params) -> dict[str, str] | None:
    """The same columns."""
    return dict(row)


def recognise(rows: Sequence[Row]) -> dict[str, object] | None:
    """One column that is called as labels are and holds a few short values, beside columns of texts and no others."""
    every = [column for column in (rows[0] if rows else ()) if column != "id"]
    labels = [column for column in every if column.casefold() in NAMES]
    texts = [column for column in every if column not in labels]
    if len(labels) != 1 or not texts or any(column.casefold() in TAKEN for column in texts):
        return None
    if not _holds_classes([row.get(labels[0]) for row in rows]) or not all(_is_prose(rows, column) for column in texts):
        return None
    return {"user": "\n\n".join(map(_reference, texts)), "labels": labels}


def _holds_classes(values: Sequence[object]) -> bool:
    """Whether the cells of a column are short and recur: at most half as many values as rows."""
    classes = {clean(str(value)) for value in values}
    is_plain = all(isinstance(value, str | int | float) for value in values)
    return is_plain and 2 <= len(classes) <= len(values) / 2 and all(0 < len(name) <= LONGEST for name in classes)


def _is_prose(rows: Sequence[Row], column: str) -> bool:
    """Whether most cells of a column are texts of several words that do not recur; where a script has no blanks,
    texts.
    """
    cells = [row.get(column) for row in rows]
    texts = {cell for cell in cells if isinstance(cell, str) and (" " in cell.strip() or not cell.isascii())}
    return is_text(rows, column) and len(texts) > len(cells) / 2


def _reference(column: str) -> str:
    """`column` as a template names it."""
    plain = f"{{{{ {column} }}}}"
    is_plain = column.isidentifier() and not template.problem(plain) and template.columns(plain) == (column,)
    return plain if is_plain else f"{{{{ row[{column!r}] }}}}"
