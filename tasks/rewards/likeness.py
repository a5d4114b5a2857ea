"""How alike an answer and the row's right answer are, in runs of characters (chrF, Popović 2015)."""

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from tasks.dataset.rows import Row
from tasks.formats.answer import AnswerFormat, right_answer
from tasks.rewards import Weighted, read_part

summary = "what the right answer says, in its words"


class Params(Weighted):
    """Which part is compared."""

    kind: Literal["likeness"]
    column: str = Field(default="", description="column of the answer; by default all of it")


def columns(params: Params) -> Sequence[str]:
    """The one that is compared, if any."""
    return (params.column,) if params.column else ()


def scores(params: Params, form: AnswerFormat, rows: Sequence[Row], answers: Sequence[str]) -> list[float]:
    """chrF of each answer and the right one, 0 to 1; 0 for one that cannot be read."""
    from sacrebleu.metrics import CHRF

    metric = CHRF()
    return [
        0.0 if part is None else float(metric.sentence_score(part, [_right(params, form, row)]).score) / 100
        for row, part in (
            (row, read_part(form, answer, params.column)) for row, answer in zip(rows, answers, strict=True)
        )
    ]


def _right(params: Params, form: AnswerFormat, row: Row) -> str:
    return right_answer(form, row)[params.column] if params.column else row["answer"]
