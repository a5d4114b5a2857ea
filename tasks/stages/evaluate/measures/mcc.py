"""mcc: the correlation of actual and predicted classes (Matthews 1975; of several classes Gorodkin 2004)."""

import math

import numpy as np

from tasks.stages.evaluate.measures.measure import Measure, Rows, named
from tasks.stages.evaluate.measures.parts import class_numbers


def mcc(label: str) -> Measure:
    """Matthews' correlation R_K of `label`: 1 if all are right, 0 if no better than chance given the classes' shares.

    All answers without a class that occurs count as one more class. 0 where it is not defined, as the correlation of a
    constant: all rows are of one class, or all answers.
    """
    return Measure(
        named(label, "mcc"),
        "correlation",
        True,
        "score",
        lambda rows: class_numbers(rows, label),
        of_classes,
        (-1.0, 1.0),
    )


def of_classes(rows: Rows) -> float:
    """R_K of (actual, predicted) class numbers, shape (rows, 2).

    R_K = (c s - Σ t p) / √((s² - Σ p²)(s² - Σ t²)) with s rows, c of them right; of each class, t actual and p
    predicted rows.
    """
    actual, predicted = rows.astype(int).T + 1  # no class is 0
    classes = int(max(actual.max(), predicted.max())) + 1
    occurs, told = (np.bincount(part, minlength=classes).astype(float) for part in (actual, predicted))
    count, hits = len(actual), int((actual == predicted).sum())
    spread = (count**2 - told @ told) * (count**2 - occurs @ occurs)
    return float((hits * count - occurs @ told) / math.sqrt(spread)) if spread > 0 else 0.0
