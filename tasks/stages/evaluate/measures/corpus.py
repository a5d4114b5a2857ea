"""Corpus measures from sacrebleu (Post 2018): the counts of each row are kept, so any set of rows has a value."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tasks.stages.evaluate.measures.measure import Measure, Rows, named
from tasks.stages.evaluate.measures.parts import answer_text
from tasks.stages.evaluate.predictions import Prediction

Metric = Any  # sacrebleu's, which is not typed


def corpus(text: str, name: str, unit: str, metric: Callable[[Sequence[str]], Metric]) -> Measure:
    """A measure of the column `text` whose row's parts are sacrebleu's counts; `metric` makes it for the right texts.

    From 0 to 1, as all measures; sacrebleu and papers say 0 to 100.
    """
    return Measure(
        named(text, name),
        unit,
        True,
        "score",
        lambda rows: _counts(rows, text, metric),
        lambda counts: value(metric([]), counts),
    )


def value(metric: Metric, counts: Rows) -> float:
    """The score of the sum of the rows' counts, shape (rows, counts)."""
    return min(1.0, float(metric._compute_score_from_stats(counts.sum(axis=0).tolist()).score) / 100)


def _counts(rows: Sequence[Prediction], text: str, metric: Callable[[Sequence[str]], Metric]) -> Rows:
    right = [row.right[text] for row in rows]
    answers = [answer_text(row, text) for row in rows]
    return np.array(metric(right)._extract_corpus_statistics(answers, [right]), float)
