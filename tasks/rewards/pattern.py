"""1 for an answer in which a regular expression is found, or is not found, else 0."""

import re
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from tasks.dataset.rows import Row
from tasks.formats.answer import AnswerFormat
from tasks.rewards import Weighted, read_part

summary = "a regular expression that is found, or is not"


def _expression(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"{text!r} is not a valid regular expression: {error}") from None
    return text


class Params(Weighted):
    """The expression, in the syntax of Python's `re`."""

    kind: Literal["pattern"]
    pattern: Annotated[str, AfterValidator(_expression), Field(min_length=1, description="regular expression")]
    found: bool = Field(default=True, description="false: earned where it is not found, such as a placeholder")
    ignore_case: bool = Field(default=False, description="upper and lower case are the same")
    column: str = Field(default="", description="column of the answer; by default all of it")


def columns(params: Params) -> Sequence[str]:
    """The one that is searched, if any."""
    return (params.column,) if params.column else ()


def scores(params: Params, form: AnswerFormat, rows: Sequence[Row], answers: Sequence[str]) -> list[float]:
    """Whether the expression is found in each answer as wanted; 0 for an answer that cannot be read."""
    expression = re.compile(params.pattern, re.IGNORECASE if params.ignore_case else 0)
    parts = (read_part(form, answer, params.column) for answer in answers)
    return [float(part is not None and bool(expression.search(part)) == params.found) for part in parts]
