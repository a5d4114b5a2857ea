"""entity_ece: how far the probabilities of entities are from the share correct (ece, for entities)."""

import numpy as np

from tasks.formats.entities import calibration_pairs
from tasks.stages.evaluate.measures.ece import BINS, bin_of
from tasks.stages.evaluate.measures.measure import Measure, Rows, named
from tasks.stages.evaluate.predictions import Prediction


def entity_ece(column: str) -> Measure:
    """Σ |B| / n · |share right in B - mean p in B| over the n entities that are marked, in bins of their probability as
    in ece.py; right in label and both ends. 0 where none is marked. What is missed does not count: see entity_f1.
    """
    return Measure(
        named(column, "entity_ece"),
        "probability",
        False,
        "score",
        lambda rows: np.array([_bins(row, column) for row in rows], float),
        of_bins,
        is_measurable=lambda rows: all(row.probabilities is not None for row in rows),
    )


def of_bins(rows: Rows) -> float:
    """ECE of rows of BINS sums of (right - p), and the number of entities, shape (rows, BINS + 1)."""
    *gaps, entities = rows.sum(axis=0)
    return float(np.abs(gaps).sum() / entities) if entities else 0.0


def _bins(row: Prediction, column: str) -> list[float]:
    pairs = calibration_pairs(row.probabilities or {}, row.right[column])
    sums = [0.0] * BINS
    for p, is_right in pairs:
        sums[bin_of(p)] += is_right - p
    return [*sums, len(pairs)]
