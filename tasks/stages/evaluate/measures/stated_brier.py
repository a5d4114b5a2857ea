"""stated_brier: the squared error of how sure an answer says that it is (Brier 1950)."""

import numpy as np

from tasks.stages.evaluate.measures.measure import Measure
from tasks.stages.evaluate.measures.stated import stated
from tasks.stages.evaluate.params import Stated


def stated_brier(how: Stated) -> Measure:
    """The mean of (p - y)² over rows, where p is stated and y is 1 for a right answer: 0 to 1. It is least, in
    expectation, for whoever says what they believe; always saying one's own accuracy a gives a (1 - a).
    """
    return Measure(
        "stated_brier",
        "squared error",
        False,
        "score",
        lambda rows: np.diff(stated(rows, how))[:, 0] ** 2,
    )
