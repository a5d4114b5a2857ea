"""pearson: the linear correlation of the answers' numbers with the right ones (Pearson 1895)."""

import numpy as np

from tasks.stages.evaluate.measures.measure import Measure, Rows, named
from tasks.stages.evaluate.measures.parts import numbers


def pearson(column: str) -> Measure:
    """The correlation of the numbers of `column`; 0 where all right numbers, or all answered ones, are the same.

    An answer that is not a number counts as for `rmse`. A row's parts are the right number and the answered one in
    deviations from the mean of the model's answers, which two models exchange: they may be in other units.
    """
    return Measure(
        named(column, "pearson"),
        "correlation",
        True,
        "score",
        lambda rows: np.column_stack([_in_deviations(part) for part in numbers(rows, column)]),
        correlation,
        (-1.0, 1.0),
    )


def correlation(rows: Rows) -> float:
    """Pearson's correlation of two columns, shape (rows, 2)."""
    first, second = (rows - rows.mean(axis=0)).T
    spread = float(np.sqrt((first @ first) * (second @ second)))
    return float(np.clip(first @ second / spread, -1, 1)) if spread else 0.0


def _in_deviations(values: Rows) -> Rows:
    """`values` less their mean, over their standard deviation; zeros where they are all the same."""
    if values.min() == values.max():
        return np.zeros_like(values)
    scaled = values / np.abs(values).max()  # squares of large numbers stay numbers
    deviations: Rows = (scaled - scaled.mean()) / scaled.std()
    return deviations
