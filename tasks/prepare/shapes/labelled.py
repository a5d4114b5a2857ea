"""Texts, each with one or several labels, for models that tell classes apart."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from pydantic import Field

from tasks import template
from tasks.clean import clean, is_blank
from tasks.prepare import blank
from tasks.prepare.format import filled
from tasks.prepare.params import Prepare
from tasks.prepare.rows import Example, Prepared, SetAside, Templates

summary = "a text (a template over columns) and one or several labels"
makes: Example = "labelled"


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


def recognise(rows: Sequence[Mapping[str, object]]) -> dict[str, object] | None:
    """None: which columns are read and which are told, only a person can say."""
    return None
