"""The share of columns in which an answer agrees with the row's right answer."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from tasks.dataset.rows import Row
from tasks.formats.answer import AnswerFormat, is_same_text, right_answer
from tasks.rewards import Weighted

summary = "the right labels"


class Params(Weighted):
    """Which columns are compared."""

    kind: Literal["labels"]
    columns: Annotated[list[str], Field(min_length=1, description="columns of the answer that must be right")]


def columns(params: Params) -> Sequence[str]:
    """Those that are compared."""
    return params.columns


def scores(params: Params, form: AnswerFormat, rows: Sequence[Row], answers: Sequence[str]) -> list[float]:
    """The share of right columns of each answer; 0 for one that cannot be read."""
    return [_share(params.columns, form, row, answer) for row, answer in zip(rows, answers, strict=True)]


def _share(names: Sequence[str], form: AnswerFormat, row: Row, answer: str) -> float:
    written, right = form.read(answer), right_answer(form, row)
    if written is None:
        return 0.0
    return sum(is_same_text(written[name], right.get(name, "")) for name in names) / len(names)
