"""rmse: the root mean square error of the numbers."""

import math
from collections.abc import Sequence

import numpy as np

from tasks.stages.evaluate.measures.measure import Measure, Rows, named
from tasks.stages.evaluate.measures.parts import numbers
from tasks.stages.evaluate.predictions import Prediction


def rmse(column: str) -> Measure:
    """The root of the mean squared error of the numbers of `column`, in their own unit.

    An answer that is not a number counts as the right number that is farthest from the row's own.
    """
    return Measure(
        named(column, "rmse"),
        f"as {column}",
        False,
        "score",
        lambda rows: _errors(rows, column),
        lambda errors: float(np.sqrt(errors.mean())),
        (0.0, math.inf),
        has_own_unit=True,
    )


def _errors(rows: Sequence[Prediction], column: str) -> Rows:
    right, answered = numbers(rows, column)
    errors: Rows = (right - answered) ** 2
    return errors
