"""1 for an answer that reads as the dataset's answers do, else 0."""

from collections.abc import Sequence
from typing import Literal

from tasks.dataset.rows import Row
from tasks.formats.answer import AnswerFormat
from tasks.rewards import Weighted

summary = "an answer in the dataset's own format"


class Params(Weighted):
    """Nothing to set."""

    kind: Literal["valid"]


def columns(params: Params) -> Sequence[str]:
    """None: the answer is read as a whole."""
    return ()


def scores(params: Params, form: AnswerFormat, rows: Sequence[Row], answers: Sequence[str]) -> list[float]:
    """Whether each answer can be read."""
    return [float(form.read(answer) is not None) for answer in answers]
