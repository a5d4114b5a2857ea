"""macro_f1: the unweighted mean of the classes' F1, over the classes that occur in the rows."""

from collections.abc import Sequence

import numpy as np

from tasks.clean import clean
from tasks.evaluate.measures.measure import Measure, Rows, named
from tasks.evaluate.predictions import Prediction

NO_CLASS = -1


def macro_f1(label: str) -> Measure:
    """The mean F1 of the classes of `label`; a row's parts are the numbers of its actual and its predicted class."""
    return Measure(named(label, "macro_f1"), "F1", True, "score", lambda rows: _classes(rows, label), of_classes)


def of_classes(rows: Rows) -> float:
    """Macro-F1 of (actual, predicted) class numbers, shape (rows, 2); F1 = 2 TP / (2 TP + FP + FN)."""
    actual, predicted = rows.astype(int).T
    classes = int(max(actual.max(), predicted.max())) + 1
    hits = np.bincount(actual[actual == predicted], minlength=classes)
    occurs = np.bincount(actual, minlength=classes)
    told = np.bincount(predicted[predicted != NO_CLASS], minlength=classes)
    present = occurs > 0
    return float((2 * hits[present] / (occurs + told)[present]).mean())


def _classes(rows: Sequence[Prediction], label: str) -> Rows:
    number = {name: i for i, name in enumerate(sorted({clean(row.right[label]) for row in rows}))}
    pairs = [
        (number[clean(row.right[label])], number.get(clean((row.answer or {}).get(label, "")), NO_CLASS))
        for row in rows
    ]
    return np.array(pairs, float)
