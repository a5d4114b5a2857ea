"""1 for an answer whose length is within bounds; less the further it is outside them."""

from collections.abc import Sequence
from typing import Literal

from pydantic import Field, model_validator

from tasks.dataset.rows import Row
from tasks.formats.answer import AnswerFormat
from tasks.rewards import Weighted, read_part

summary = "a length within bounds"


class Params(Weighted):
    """The bounds; both belong to them."""

    kind: Literal["length"]
    min: int = Field(default=0, ge=0, le=1_000_000, description="shortest length that earns 1")
    max: int = Field(ge=1, le=1_000_000, description="longest length that earns 1; twice as much earns 0")
    unit: Literal["words", "characters"] = Field(default="words", description="words are separated by blanks")
    column: str = Field(default="", description="column of the answer; by default all of it")

    @model_validator(mode="after")
    def _bounds_are_in_order(self) -> "Params":
        if self.min > self.max:
            raise ValueError(f"min is {self.min}, and max is {self.max}; swap them")
        return self


def columns(params: Params) -> Sequence[str]:
    """The one that is measured, if any."""
    return (params.column,) if params.column else ()


def scores(params: Params, form: AnswerFormat, rows: Sequence[Row], answers: Sequence[str]) -> list[float]:
    """n / min below the bounds, 1 within them, 1 - (n - max) / max above them and at least 0, for a length of n."""
    parts = (read_part(form, answer, params.column) for answer in answers)
    return [0.0 if part is None else _score(params, part) for part in parts]


def _score(params: Params, text: str) -> float:
    size = len(text.split()) if params.unit == "words" else len(text)
    if size < params.min:
        return size / params.min
    return max(0.0, 1 - max(0, size - params.max) / params.max)
