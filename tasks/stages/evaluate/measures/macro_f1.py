"""macro_f1: the unweighted mean of the classes' F1, over the classes that occur in the rows."""

import numpy as np

from tasks.stages.evaluate.measures.measure import Measure, Rows, named
from tasks.stages.evaluate.measures.parts import NO_CLASS, class_numbers


def macro_f1(label: str) -> Measure:
    """The mean F1 of the classes of `label`; a row's parts are the numbers of its actual and its predicted class."""
    return Measure(named(label, "macro_f1"), "F1", True, "score", lambda rows: class_numbers(rows, label), of_classes)


def of_classes(rows: Rows) -> float:
    """Macro-F1 of (actual, predicted) class numbers, shape (rows, 2); F1 = 2 TP / (2 TP + FP + FN)."""
    actual, predicted = rows.astype(int).T
    classes = int(max(actual.max(), predicted.max())) + 1
    hits = np.bincount(actual[actual == predicted], minlength=classes)
    occurs = np.bincount(actual, minlength=classes)
    predictions = np.bincount(predicted[predicted != NO_CLASS], minlength=classes)
    present = occurs > 0
    return float((2 * hits[present] / (occurs + predictions)[present]).mean())
