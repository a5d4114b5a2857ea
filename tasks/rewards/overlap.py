"""Takes up what the person wrote: an answer that uses words of the question, and its numbers, earns more."""

import re
from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from tasks.dataset.rows import Row
from tasks.formats.answer import AnswerFormat
from tasks.rewards import Weighted, read_part
from tasks.texts.clean import folded

summary = "words of the question"
WORD = re.compile(r"\w+(?:[-'’]\w+)*")


class Params(Weighted):
    """How many words of the question are enough."""

    kind: Literal["overlap"]
    enough: int = Field(default=3, ge=1, le=1000, description="different words of the question that earn 1")
    min_characters: int = Field(
        default=5, ge=1, le=100, description="shorter words do not count, unless they hold a digit"
    )
    column: str = Field(default="", description="column of the answer; by default all of it")


def columns(params: Params) -> Sequence[str]:
    """The one that is read, if any."""
    return (params.column,) if params.column else ()


def scores(params: Params, form: AnswerFormat, rows: Sequence[Row], answers: Sequence[str]) -> list[float]:
    """Words of the last question that are in each answer, over `enough`, at most 1; 0 for one that cannot be read."""
    return [
        _score(params, row, read_part(form, answer, params.column)) for row, answer in zip(rows, answers, strict=True)
    ]


def _score(params: Params, row: Row, answer: str | None) -> float:
    if answer is None:
        return 0.0
    questions = [message["content"] for message in row["messages"] if message["role"] == "user"]
    shared = _words(params, questions[-1] if questions else "") & _words(params, answer)
    return min(1.0, len(shared) / params.enough)


def _words(params: Params, text: str) -> set[str]:
    words = WORD.findall(folded(text))
    return {word for word in words if len(word) >= params.min_characters or any(map(str.isdigit, word))}
