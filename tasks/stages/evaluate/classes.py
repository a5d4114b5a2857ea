"""The class that each answer names, and the quality of each class: the data of confusion matrices and bars."""

from collections.abc import Sequence

from tasks.formats.answer import Classes
from tasks.stages.evaluate.predictions import Prediction
from tasks.texts.clean import clean

NO_CLASS = "(none)"  # the answer is not one, or names no known class


def pairs(predictions: Sequence[Prediction], label: str, classes: Classes) -> tuple[list[str], list[str]]:
    """(actual, predicted) classes of `label`."""
    actual = [clean(row.right[label]) for row in predictions]
    known = classes[label]
    answered = (clean((row.parsed or {}).get(label, "")) for row in predictions)
    return actual, [value if value in known else NO_CLASS for value in answered]


def per_class_f1(actual: list[str], predicted: list[str]) -> dict[str, float]:
    """F1 = 2 TP / (2 TP + FP + FN) of each class in `actual`."""
    from sklearn.metrics import f1_score

    classes = sorted(set(actual))
    scores = f1_score(actual, predicted, labels=classes, average=None, zero_division=0)
    return dict(zip(classes, scores.tolist(), strict=True))
