"""auroc: how well probabilities order the rows, each class against the rest (Hanley & McNeil 1982; Provost & Domingos
2001).
"""

from collections.abc import Sequence

import numpy as np

from tasks.stages.evaluate.measures.measure import Measure, Rows, named
from tasks.stages.evaluate.measures.parts import class_probabilities, doubled_ranks, have_probabilities
from tasks.stages.evaluate.predictions import Prediction

CHANCE = 0.5


def auroc(label: str) -> Measure:
    """The unweighted mean over the classes of `label` of the chance that a row of the class has a higher probability of
    it than a row of another; ties count half.

    A row's parts are its class, and its ranks among the model's answers, one for each class. Two models exchange ranks,
    not probabilities (Venkatraman & Begg 1996), since the area depends on ranks only. If only one class occurs it is
    not defined, and counts as chance, 0.5.
    """
    return Measure(
        named(label, "auroc"),
        "area",
        True,
        "score",
        lambda rows: _ranks(rows, label),
        of_ranks,
        shares=shares,
        is_measurable=lambda rows: have_probabilities(rows, label),
    )


def of_ranks(rows: Rows) -> float:
    """The mean area of (class, rank for each class), shape (rows, 1 + classes); ranks are whole numbers.

    Counts the rows at each rank, so that nothing is sorted for each resample.
    """
    actual, ranks = rows[:, 0].astype(int), rows[:, 1:].astype(int)
    count, classes = ranks.shape
    places = int(ranks.max()) + 1
    flat = ranks + np.arange(classes) * places
    own = flat[np.arange(count), actual]  # a row's place in the ranks of its own class
    others = np.bincount(flat.ravel(), minlength=classes * places) - np.bincount(own, minlength=classes * places)
    below = np.cumsum(others.reshape(classes, places), axis=1) - others.reshape(classes, places) / 2
    occurs = np.bincount(actual, minlength=classes)
    wins = np.bincount(actual, weights=below.ravel()[own], minlength=classes)
    is_defined = (occurs > 0) & (occurs < count)
    if not is_defined.any():
        return CHANCE
    return float((wins[is_defined] / (occurs * (count - occurs))[is_defined]).mean())


def shares(first: Rows, second: Rows) -> Rows:
    """Each row's share of the difference of two models' areas; its sign flips when the row's ranks are exchanged.

    An area counts pairs of rows. A pair's contribution to the difference changes its sign when both rows are exchanged,
    so it is a sum of one number per row: half the number of rows of the other side, of both models, that are below one
    model's rank and not below the other's.
    """
    actual = first[:, 0].astype(int)
    total, classes = np.zeros(len(actual)), 0
    for number in range(first.shape[1] - 1):
        is_own = actual == number
        if not 0 < is_own.sum() < len(actual):
            continue
        classes += 1
        ours, theirs = first[:, 1 + number], second[:, 1 + number]
        for side, sign in ((is_own, 1), (~is_own, -1)):
            others = np.sort(np.concatenate([ours[~side], theirs[~side]]))
            passed = _below(others, ours[side]) - _below(others, theirs[side])
            total[side] += sign * passed / (2 * is_own.sum() * (~is_own).sum())
    return total / max(classes, 1)


def _below(ordered: Rows, values: Rows) -> Rows:
    """How many of `ordered` are below each value, ties for half."""
    return (np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right")) / 2


def _ranks(rows: Sequence[Prediction], label: str) -> Rows:
    actual, shares = class_probabilities(rows, label)
    return np.column_stack([actual, doubled_ranks(shares)])
