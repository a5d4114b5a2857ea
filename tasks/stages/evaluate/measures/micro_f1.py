"""micro_f1: the F1 of all classes counted together."""

import numpy as np

from tasks.formats.answer import agrees
from tasks.stages.evaluate.measures.measure import Measure, Rows, named
from tasks.stages.evaluate.measures.parts import answer_text
from tasks.texts.clean import clean


def micro_f1(label: str) -> Measure:
    """F1 = 2 TP / (2 TP + FP + FN) over all classes of `label` together; equal to the accuracy if every answer names a
    class.

    A row's parts are whether it is right, and whether it names a class: a wrong one is a FP of one class and a FN of
    the other, no class is only a FN.
    """
    return Measure(
        named(label, "micro_f1"),
        "F1",
        True,
        "score",
        lambda rows: np.array(
            [(agrees(row.parsed, row.right, [label]), bool(clean(answer_text(row, label)))) for row in rows], float
        ),
        of_counts,
    )


def of_counts(rows: Rows) -> float:
    """Micro-F1 of (right, named), shape (rows, 2): TP + FN are the rows, TP + FP the named."""
    right, named_ = rows.sum(axis=0)
    return float(2 * right / (len(rows) + named_))
