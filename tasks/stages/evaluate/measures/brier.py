"""brier: the squared error of probabilities (Brier 1950)."""

import numpy as np

from tasks.stages.evaluate.measures.measure import Measure, named
from tasks.stages.evaluate.measures.parts import have_probabilities, probabilities
from tasks.stages.evaluate.predictions import Prediction
from tasks.texts.clean import clean


def brier(label: str) -> Measure:
    """The mean over rows of Σ (p - y)² over all classes of `label`, y being 1 for the right one: 0 to 2, as Brier
    defined it (for two classes, half of it is also in use).
    """
    return Measure(
        named(label, "brier"),
        "squared error",
        False,
        "score",
        lambda rows: np.array([_error(row, label) for row in rows], float),
        bounds=(0.0, 2.0),
        is_measurable=lambda rows: have_probabilities(rows, label),
    )


def _error(row: Prediction, label: str) -> float:
    shares = probabilities(row, label)
    right = shares.get(clean(row.right[label]), 0.0)
    return sum(p * p for p in shares.values()) - right**2 + (1 - right) ** 2
