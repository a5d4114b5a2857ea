"""spearman: the rank correlation of the answers' numbers with the right ones (Spearman 1904)."""

from collections.abc import Sequence

import numpy as np

from tasks.stages.evaluate.measures.measure import Measure, Rows, named
from tasks.stages.evaluate.measures.parts import doubled_ranks, numbers
from tasks.stages.evaluate.predictions import Prediction


def spearman(column: str) -> Measure:
    """The correlation of the ranks of `column`; 0 where all right numbers, or all answered ones, are the same.

    An answer that is not a number counts as for `rmse`. A row's parts are its ranks, which two models exchange, as the
    numbers of one may be in other units.
    """
    return Measure(
        named(column, "spearman"),
        "correlation",
        True,
        "score",
        lambda rows: _ranks(rows, column),
        of_ranks,
        (-1.0, 1.0),
    )


def of_ranks(rows: Rows) -> float:
    """Pearson's correlation of the ranks of (right, answered) ranks, shape (rows, 2); ranks are whole numbers."""
    first, second = (_ranked(part) for part in rows.astype(int).T)
    spread = float(np.sqrt((first @ first) * (second @ second)))
    return float(np.clip(first @ second / spread, -1, 1)) if spread else 0.0


def _ranked(values: "np.ndarray[tuple[int], np.dtype[np.int64]]") -> Rows:
    """Ranks with ties at their middle, less their mean."""
    counts = np.bincount(values)
    ranks = (np.cumsum(counts) - counts / 2)[values]
    return ranks - len(values) / 2


def _ranks(rows: Sequence[Prediction], column: str) -> Rows:
    return doubled_ranks(np.column_stack(numbers(rows, column)))
