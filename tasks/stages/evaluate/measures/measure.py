"""The type of measures: a name, a unit, a direction, and a kind that decides the interval and the test."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tasks.stages.evaluate.predictions import Prediction

Rows: TypeAlias = NDArray[np.float64]  # (rows,), or (rows, parts) where `value` is not the mean of one number a row
Kind = Literal["share", "score", "ratio"]

REFUSED = re.compile(r"[^\w.-]+")  # MLflow takes letters, digits, _-./: and blanks; a / would be a folder of plots


@dataclass(frozen=True)
class Measure:
    """A row of the table of measures.

    `kind` is share (each row 0 or 1), score (any other mean or statistic of rows), or ratio (a statistic of two sums;
    the second column counts units, which two models must share to be compared).
    """

    name: str
    unit: str
    higher_is_better: bool
    kind: Kind
    rows: Callable[[Sequence[Prediction]], Rows]
    value: Callable[[Rows], float] = lambda rows: float(rows.mean())
    bounds: tuple[float, float] = (0.0, 1.0)  # range of `value`
    has_own_unit: bool = False  # that of the column: differences are comparable only as a share of the value
    shares: Callable[[Rows, Rows], Rows] | None = None  # speeds up the test; see tasks/stages/evaluate/comparison.py
    is_measurable: Callable[[Sequence[Prediction]], bool] = lambda rows: True  # whether `rows` accepts these


def named(column: str, measure: str) -> str:
    """The name of a `measure` of a `column`, in characters that MLflow, DVC and a file system take."""
    return f"{slug(column)}_{measure}"


def slug(column: str) -> str:
    """`column` with every run of other characters than letters, digits, `_`, `-` and `.` as one `_`; empty when
    nothing is left.
    """
    return REFUSED.sub("_", column).strip("_.")
