"""Words and phrases that an answer should hold, or should not."""

import re
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from tasks.dataset.rows import Row
from tasks.formats.answer import AnswerFormat
from tasks.rewards import Weighted, read_part
from tasks.texts.clean import folded

summary = "words and phrases that are there, or are not"


class Params(Weighted):
    """The phrases, and how many of them are needed; upper and lower case are the same, and whole words count."""

    kind: Literal["terms"]
    terms: Annotated[
        list[Annotated[str, Field(min_length=1)]], Field(min_length=1, description="words or phrases to look for")
    ]
    need: Literal["all", "any", "none"] = Field(
        default="all", description="all: the share that is there; any: one is enough; none: earned if none is there"
    )
    column: str = Field(default="", description="column of the answer; by default all of it")


def columns(params: Params) -> Sequence[str]:
    """The one that is searched, if any."""
    return (params.column,) if params.column else ()


def scores(params: Params, form: AnswerFormat, rows: Sequence[Row], answers: Sequence[str]) -> list[float]:
    """The share of phrases in each answer, or whether there is one, or none; 0 for one that cannot be read."""
    phrases = [re.compile(rf"(?<!\w){re.escape(folded(term))}(?!\w)") for term in params.terms]
    parts = (read_part(form, answer, params.column) for answer in answers)
    return [0.0 if part is None else _score(params, phrases, folded(part)) for part in parts]


def _score(params: Params, phrases: Sequence["re.Pattern[str]"], text: str) -> float:
    there = sum(phrase.search(text) is not None for phrase in phrases)
    if params.need == "all":
        return there / len(phrases)
    return float((there > 0) == (params.need == "any"))
