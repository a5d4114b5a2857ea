"""A table: a Jinja template makes the question from its columns, and a list or another template the answer."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from pydantic import Field

from tasks.dataset.rows import Example, Prepared
from tasks.stages.prepare import blank
from tasks.stages.prepare.format import fill_templates
from tasks.stages.prepare.params import Prepare, System
from tasks.stages.prepare.rows import SetAside, Templates
from tasks.texts import template
from tasks.texts.clean import clean

summary = "columns, and templates that make a question and an answer from them"
makes: Example = "chat"


class Params(Prepare):
    """The templates."""

    shape: Literal["table"] = "table"
    system: System = None
    user: Annotated[str, Field(min_length=1, description="Jinja template of the user message")]
    answer: Annotated[list[str], Field(min_length=1)] | str = Field(
        description="columns that make up a JSON object, or a Jinja template"
    )


def example(raw: Mapping[str, str], params: Params) -> Prepared:
    """The templates filled from the cleaned columns."""
    if problem := blank.problem(raw, templates(params)):
        raise SetAside("blank", problem)
    return format_row({name: clean(text) for name, text in raw.items()}, params)


def format_row(row: dict[str, str], params: Params) -> Prepared:
    """A cleaned row: what the model is asked, what it should say, and the columns it came from."""
    return fill_templates(row, templates(params))


def templates(params: Params) -> Templates:
    """The templates of `params`."""
    return {"system": params.system, "user": params.user, "answer": params.answer}


def columns(params: Params) -> tuple[str, ...]:
    """The columns of the templates, without the id."""
    return tuple(column for column in template.columns_of_all(params.user, params.answer) if column != "id")


def source_row(row: Mapping[str, str], params: Params) -> dict[str, str] | None:
    """The same columns."""
    return dict(row)


def recognise(rows: Sequence[Mapping[str, object]]) -> dict[str, object] | None:
    """None: only a person knows which columns are the question and which the answer."""
    return None
