"""log_loss: how surprised the model is by the right class."""

import math

import numpy as np

from tasks.stages.evaluate.measures.measure import Measure, named
from tasks.stages.evaluate.measures.parts import have_probabilities, probabilities
from tasks.texts.clean import clean

SMALLEST = float(np.finfo(float).eps)  # a right class of probability 0 costs 36 nats, not infinitely many


def log_loss(label: str) -> Measure:
    """The mean of -ln p of the right class of `label`, p at least 2.2e-16 as in scikit-learn; p is 0 for a class that
    the model does not know.
    """
    return Measure(
        named(label, "log_loss"),
        "nats",
        False,
        "score",
        lambda rows: (
            -np.log([max(SMALLEST, probabilities(row, label).get(clean(row.right[label]), 0.0)) for row in rows])
        ),
        bounds=(0.0, math.inf),
        is_measurable=lambda rows: have_probabilities(rows, label),
    )
