"""ece: how far the probabilities are from the share of right answers (Naeini et al. 2015; Guo et al. 2017)."""

from collections.abc import Sequence

import numpy as np

from tasks.formats.labels import likeliest
from tasks.stages.evaluate.measures.measure import Measure, Rows, named
from tasks.stages.evaluate.measures.parts import have_probabilities, probabilities
from tasks.stages.evaluate.predictions import Prediction
from tasks.texts.clean import clean

BINS = 15  # as in Guo et al.


def ece(label: str) -> Measure:
    """The expected calibration error of `label`: Σ |B| / n · |share right in B - mean p in B| over 15 bins of equal
    width of the probability p of the likeliest class.

    With few rows it is too high even for a calibrated model: bins of few rows are off by chance. Among equally likely
    classes the first by name is taken.
    """
    return Measure(
        named(label, "ece"),
        "probability",
        False,
        "score",
        lambda rows: np.array(_bins(rows, label), float),
        of_bins,
        is_measurable=lambda rows: have_probabilities(rows, label),
    )


def of_bins(rows: Rows) -> float:
    """ECE of (bin, right - p), shape (rows, 2): sums of the second in each bin, as |B| cancels out."""
    return float(np.abs(np.bincount(rows[:, 0].astype(int), weights=rows[:, 1])).sum() / len(rows))


def _bins(rows: Sequence[Prediction], label: str) -> list[tuple[int, float]]:
    pairs = []
    for row in rows:
        shares = probabilities(row, label)
        top = likeliest(shares)
        is_right = top == clean(row.right[label])
        pairs.append((bin_of(shares[top]), is_right - shares[top]))
    return pairs


def bin_of(p: float) -> int:
    """The bin (from 0) of ((m - 1)/15, m/15] that holds `p`; 0 is in the first."""
    return min(BINS - 1, max(0, int(np.ceil(p * BINS)) - 1))
