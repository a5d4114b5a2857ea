"""accuracy: the share of the rows whose label is right."""

import numpy as np

from tasks.formats.answer import agrees
from tasks.stages.evaluate.measures.measure import Measure, named


def accuracy(label: str) -> Measure:
    """The share of the rows whose `label` is right; an answer that is not one of the format is wrong."""
    return Measure(
        named(label, "accuracy"),
        "share of rows",
        True,
        "share",
        lambda rows: np.array([agrees(row.parsed, row.right, [label]) for row in rows], float),
    )
