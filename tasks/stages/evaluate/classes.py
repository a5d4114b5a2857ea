"""Actual and predicted classes, and the F1 of each class: the data of confusion matrices and bar charts."""

from collections.abc import Sequence

from tasks.formats.answer import Classes
from tasks.stages.evaluate.predictions import Prediction
from tasks.texts.clean import clean

NO_CLASS = "(none)"  # an invalid answer, or one without a known class


def pairs(predictions: Sequence[Prediction], label: str, classes: Classes) -> tuple[list[str], list[str]]:
    """(actual, predicted) classes of `label`."""
    actual = [clean(row.right[label]) for row in predictions]
    known = classes[label]
    predicted = (clean((row.parsed or {}).get(label, "")) for row in predictions)
    return actual, [value if value in known else NO_CLASS for value in predicted]


def per_class_f1(actual: list[str], predicted: list[str]) -> dict[str, float]:
    """F1 = 2 TP / (2 TP + FP + FN) of each class in `actual`."""
    from sklearn.metrics import f1_score

    classes = sorted(set(actual))
    scores = f1_score(actual, predicted, labels=classes, average=None, zero_division=0)
    return dict(zip(classes, scores.tolist(), strict=True))
