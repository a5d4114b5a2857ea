"""The uncertainty of a measure: its interval, and the paired test of two models on the same rows; both follow from
its kind.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from tasks.stages.evaluate.measures.measure import Kind, Measure, Rows
from tasks.stages.evaluate.params import Evaluate

RESAMPLES = 9999  # of a paired test: the smallest p is then 0.0001
BATCH = 100  # exchanges that are added up at once
SEED = 42  # the same rows, the same verdict


@dataclass(frozen=True)
class Comparison:
    """Two models on the same rows: by how much the first is better, and one-sided p that it is no better.

    `difference` is in the measure's unit, of a ratio as a share of the second model's value. `figures` and `test` are
    words.
    """

    difference: float
    p: float
    figures: str
    test: str


def interval(measure: Measure, rows: Rows, params: Evaluate) -> list[float]:
    """[low, high] of a measure's value: Wilson's of a share, the bootstrap's of all else."""
    return wilson(rows, params.confidence) if measure.kind == "share" else bootstrap(measure, rows, params)


def wilson(hits: Rows, confidence: float) -> list[float]:
    """[low, high] of a share by Wilson 1927: unlike the bootstrap it has a width when all rows agree."""
    from scipy.stats import binomtest

    limits = binomtest(int(hits.sum()), len(hits)).proportion_ci(confidence, method="wilson")
    return [float(limits.low), float(limits.high)]


def bootstrap(measure: Measure, rows: Rows, params: Evaluate) -> list[float]:
    """[low, high] by the percentile bootstrap over rows (Efron & Tibshirani 1993, ch. 13), seeded."""
    chance, count = np.random.default_rng(params.seed), len(rows)
    values = [measure.value(rows[chance.integers(0, count, count)]) for _ in range(params.bootstrap_resamples)]
    tail = (1 - params.confidence) / 2
    return [float(edge) for edge in np.quantile(values, [tail, 1 - tail])]


def compare(measure: Measure, first: Rows, second: Rows) -> Comparison:
    """Whether `first` is better than `second` by the paired test of the measure's kind; ValueError when rows do not
    pair up.
    """
    if first.shape != second.shape:
        raise ValueError(f"{len(first)} and {len(second)} rows do not pair up")
    return TESTS[measure.kind](measure, first, second)


def are_comparable(measure: Measure, first: Rows, second: Rows) -> bool:
    """Whether two models' rows count the same units: perplexities over the tokens of two tokenizers are not
    comparable.
    """
    return measure.kind != "ratio" or (first.shape == second.shape and bool((first[:, 1] == second[:, 1]).all()))


def mcnemar(measure: Measure, first: Rows, second: Rows) -> Comparison:
    """McNemar 1947 in its exact form: under no difference the discordant rows fall on either side like a fair coin."""
    from scipy.stats import binomtest

    won, lost = int((first > second).sum()), int((first < second).sum())
    p = float(binomtest(won, won + lost, 0.5, alternative="greater").pvalue) if won + lost else 1.0
    return Comparison(_gain(measure, first, second), p, f"{won} rows won, {lost} lost", "McNemar")


def permutation(measure: Measure, first: Rows, second: Rows) -> Comparison:
    """The paired permutation test (Fisher 1935): under no difference it is chance which model gave which of a row's two
    answers.

    Exact where there are at most as many exchanges as resamples, else from a seeded sample of them. Where a measure
    knows each row's share of the difference, the sign of which turns when the row's answers are exchanged, only those
    are added up.
    """
    from scipy.stats import permutation_test

    both, count = np.concatenate([first, second]), len(first)
    if count < 2:
        p = 1.0
    elif measure.shares:
        sign = 1 if measure.higher_is_better else -1
        shares = sign * measure.shares(first, second)
        p = float(permutation_test((shares,), np.sum, vectorized=True, batch=BATCH, **_options()).pvalue)
    else:
        places = (np.arange(count), np.arange(count, 2 * count))
        result = permutation_test(places, lambda ours, theirs: _gain(measure, both[ours], both[theirs]), **_options())
        p = float(result.pvalue)
    return Comparison(_gain(measure, first, second), p, _values(measure, first, second), "paired permutation")


def _options() -> dict[str, object]:
    chance = np.random.default_rng(SEED)
    return {"permutation_type": "samples", "n_resamples": RESAMPLES, "alternative": "greater", "rng": chance}


def paired_bootstrap(measure: Measure, first: Rows, second: Rows) -> Comparison:
    """The paired bootstrap (Efron & Tibshirani 1993, ch. 16; Koehn 2004): the share of resampled sets of rows in
    which `first` is no better.

    Drawn again and again, one row always says the same. Of n rows p is never below 2⁻ⁿ, the chance that a fair coin
    gives all of them to `first`, as in the tests of the other kinds.
    """
    chance, count = np.random.default_rng(SEED), len(first)
    draws = (chance.integers(0, count, count) for _ in range(RESAMPLES))
    no_better = sum(_gain(measure, first[rows], second[rows]) <= 0 for rows in draws)
    share = _gain(measure, first, second) / abs(measure.value(second))
    p = max((1 + no_better) / (1 + RESAMPLES), 0.5**count)
    return Comparison(share, p, _values(measure, first, second), "paired bootstrap")


TESTS: Mapping[Kind, Callable[[Measure, Rows, Rows], Comparison]] = {
    "share": mcnemar,
    "score": permutation,
    "ratio": paired_bootstrap,
}


def _gain(measure: Measure, first: Rows, second: Rows) -> float:
    """By how much the value of `first` is better than that of `second`, in the measure's unit."""
    gain = measure.value(first) - measure.value(second)
    return gain if measure.higher_is_better else -gain


def _values(measure: Measure, first: Rows, second: Rows) -> str:
    return f"{measure.value(first):.3f} against {measure.value(second):.3f}"
