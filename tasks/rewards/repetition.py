"""The share of an answer's n-grams of words that are not there already: 1 where nothing is said twice (distinct-n,
Li et al. 2016, arXiv:1510.03055).
"""

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from tasks.dataset.rows import Row
from tasks.formats.answer import AnswerFormat
from tasks.rewards import Weighted, distinct, read_part

summary = "words that do not repeat themselves"


class Params(Weighted):
    """How many words make a repetition."""

    kind: Literal["repetition"]
    n: int = Field(default=3, ge=1, le=20, description="words in an n-gram")
    column: str = Field(default="", description="column of the answer; by default all of it")


def columns(params: Params) -> Sequence[str]:
    """The one that is read, if any."""
    return (params.column,) if params.column else ()


def scores(params: Params, form: AnswerFormat, rows: Sequence[Row], answers: Sequence[str]) -> list[float]:
    """Distinct n-grams over n-grams; 1 for an answer of fewer words than n, 0 for one that cannot be read."""
    parts = (read_part(form, answer, params.column) for answer in answers)
    return [0.0 if part is None else distinct(part, params.n) for part in parts]
