"""mae: the mean absolute error of the numbers."""

import math
from collections.abc import Sequence

import numpy as np

from tasks.stages.evaluate.measures.measure import Measure, Rows, named
from tasks.stages.evaluate.measures.parts import numbers
from tasks.stages.evaluate.predictions import Prediction


def mae(column: str) -> Measure:
    """The mean absolute error of the numbers of `column`, in their own unit; an answer that is not a number counts as
    for `rmse`.
    """
    return Measure(
        named(column, "mae"),
        f"as {column}",
        False,
        "score",
        lambda rows: _errors(rows, column),
        bounds=(0.0, math.inf),
        has_own_unit=True,
    )


def _errors(rows: Sequence[Prediction], column: str) -> Rows:
    right, answered = numbers(rows, column)
    errors: Rows = np.abs(right - answered)
    return errors
