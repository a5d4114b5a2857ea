"""Intervals and paired tests by the kind of a measure: shares exactly, scores by exchanging answers, ratios by
drawing rows again.
"""

import itertools
from dataclasses import replace
from fractions import Fraction
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.stages.evaluate import comparison
from tasks.stages.evaluate.comparison import are_comparable, bootstrap, compare, interval, wilson
from tasks.stages.evaluate.measures.auroc import auroc
from tasks.stages.evaluate.measures.exact_match import exact_match
from tasks.stages.evaluate.measures.macro_f1 import macro_f1
from tasks.stages.evaluate.measures.parts import doubled_ranks
from tasks.stages.evaluate.measures.perplexity import perplexity
from tasks.stages.evaluate.measures.rouge import rouge_l
from tasks.stages.evaluate.params import Evaluate
from tests.examples import examples

SHARE, SCORE, RATIO, F1 = exact_match(""), rouge_l("reply"), perplexity(""), macro_f1("label")
AREA = auroc("label")


def mcnemar(won: int, lost: int, both: int = 0) -> tuple[str, float]:
    """The figures and p of two models of which the first alone has `won` rows right, the second alone `lost`."""
    ours, theirs = [1.0] * won + [0.0] * lost + [1.0] * both, [0.0] * won + [1.0] * lost + [1.0] * both
    result = compare(SHARE, np.array(ours), np.array(theirs))
    assert result.difference == pytest.approx((won - lost) / len(ours))
    return result.figures, result.p


@pytest.mark.parametrize(
    ("won", "lost", "p"),
    [
        (8, 1, Fraction(10, 512)),  # (C(9,8) + C(9,9)) / 2⁹
        (5, 0, Fraction(1, 32)),
        (4, 0, Fraction(1, 16)),
        (1, 1, Fraction(3, 4)),
        (0, 5, Fraction(1)),
        (10, 3, Fraction(286 + 78 + 13 + 1, 8192)),
        (0, 0, Fraction(1)),
    ],
)
def test_mcnemars_p_is_the_exact_one(won, lost, p):
    assert mcnemar(won, lost, both=11) == (f"{won} rows won, {lost} lost", pytest.approx(float(p), rel=1e-12))


@examples(60)
@given(st.integers(0, 40), st.integers(1, 40))
def test_mcnemars_p_is_the_tail_of_a_fair_coin(won, lost):
    n = won + lost
    tail = Fraction(sum(comb(n, k) for k in range(won, n + 1)), 2**n)
    assert mcnemar(won, lost)[1] == pytest.approx(float(tail), rel=1e-9)


def test_rows_that_do_not_pair_up_are_refused():
    for measure in (SHARE, SCORE):
        with pytest.raises(ValueError, match="2 and 1 rows do not pair up"):
            compare(measure, np.array([1.0, 0.0]), np.array([1.0]))


def test_the_permutation_test_is_exact_where_all_exchanges_can_be_tried():
    ours, theirs = np.array([0.9, 0.8, 0.3, 0.7, 0.6]), np.array([0.5, 0.7, 0.4, 0.2, 0.6])
    differences = ours - theirs
    every = [np.dot(signs, differences) for signs in itertools.product((1, -1), repeat=5)]
    expected = np.mean([total >= differences.sum() - 1e-12 for total in every])
    result = compare(SCORE, ours, theirs)
    assert (
        result.p == pytest.approx(expected)
        and result.figures == "0.660 against 0.480"
        and result.difference == pytest.approx(0.18)
    )


@pytest.mark.parametrize("seed", range(4))
def test_shares_of_an_area_turn_as_its_rows_are_exchanged(seed):
    chance = np.random.default_rng(seed)
    actual = np.array([0, 1, 2, 0, 1, 1, 0, 2][: 4 + seed])
    ours, theirs = (np.column_stack([actual, doubled_ranks(chance.integers(0, 4, (len(actual), 3)))]) for _ in "ab")
    shares = AREA.shares(ours, theirs)
    for exchanged in itertools.product((False, True), repeat=len(actual)):
        turned = np.array(exchanged)
        first, second = np.where(turned[:, None], theirs, ours), np.where(turned[:, None], ours, theirs)
        assert np.where(turned, -shares, shares).sum() == pytest.approx(AREA.value(first) - AREA.value(second))
    assert compare(AREA, ours, theirs).p == pytest.approx(compare(replace(AREA, shares=None), ours, theirs).p)


def test_the_permutation_test_of_many_rows_is_near_that_of_the_normal_distribution_and_the_same_twice():
    chance = np.random.default_rng(1)
    ours, theirs = chance.random(200) + 0.05, chance.random(200)
    differences = ours - theirs
    from scipy.stats import norm

    expected = norm.sf(differences.sum() / np.sqrt((differences**2).sum()))
    result = compare(SCORE, ours, theirs)
    assert result.p == pytest.approx(expected, abs=0.01) and result == compare(SCORE, ours, theirs)


def test_equal_models_are_never_better_by_any_kind(monkeypatch):
    monkeypatch.setattr(comparison, "RESAMPLES", 999)
    rows = np.linspace(0, 1, 30)
    pairs = np.column_stack([np.linspace(1, 9, 30), np.full(30, 4.0)])
    classes = np.column_stack([np.arange(30) % 3, np.arange(30) % 2]).astype(float)
    for measure, same in ((SHARE, rows.round()), (SCORE, rows), (RATIO, pairs), (F1, classes)):
        assert compare(measure, same, same).p == 1.0 and compare(measure, same, same).difference == 0


def test_macro_f1_is_compared_by_exchanging_the_predictions_of_a_row(monkeypatch):
    monkeypatch.setattr(comparison, "RESAMPLES", 1999)
    actual = np.arange(40) % 2
    better, worse = (
        np.column_stack([actual, actual]).astype(float),
        np.column_stack([actual, np.zeros(40)]).astype(float),
    )
    assert compare(F1, better, worse).p < 0.001 and compare(F1, worse, better).p > 0.99
    assert compare(F1, better, worse).figures == "1.000 against 0.333"


def test_the_difference_of_a_ratio_is_a_share_and_lower_is_better():
    ours, theirs = (np.column_stack([np.full(20, nats), np.ones(20)]) for nats in (np.log(2.0), np.log(4.0)))
    result = compare(RATIO, ours, theirs)
    assert result.difference == pytest.approx(0.5) and result.p == pytest.approx(0.0001)
    assert compare(RATIO, theirs, ours).difference == pytest.approx(-1.0) and compare(RATIO, theirs, ours).p == 1.0


@pytest.mark.parametrize("count", [1, 2, 4, 5])
def test_no_test_of_few_rows_is_surer_than_a_fair_coin_allows(count: int):
    """Drawn again and again, a single row always says the same."""
    better, worse = np.linspace(0.6, 0.9, count), np.linspace(0.1, 0.3, count)
    perplexities = [np.column_stack([nats, np.ones(count)]) for nats in (worse, better)]
    for measure, ours, theirs in ((SHARE, better > 0, worse > 1), (SCORE, better, worse), (RATIO, *perplexities)):
        assert compare(measure, np.asarray(ours, float), np.asarray(theirs, float)).p >= 0.5**count


def test_ratios_over_other_units_are_not_comparable():
    ours = np.array([[3.0, 4.0], [2.0, 5.0]])
    assert are_comparable(RATIO, ours, ours * [2, 1]) and not are_comparable(RATIO, ours, ours * [1, 2])
    assert are_comparable(SCORE, ours[:, 0], ours[:, 1])


def test_wilson_has_a_width_when_all_rows_agree():
    low, high = wilson(np.ones(50), 0.95)
    assert high == pytest.approx(1.0)
    assert low == pytest.approx(50 / (50 + 1.959964**2), rel=1e-5)  # n / (n + z²)
    low, high = wilson(np.zeros(50), 0.95)
    assert low == pytest.approx(0.0) and high == pytest.approx(1.959964**2 / (50 + 1.959964**2), rel=1e-5)


@examples(60)
@given(st.lists(st.booleans(), min_size=1, max_size=60), st.sampled_from([0.6, 0.9, 0.95, 0.99]))
def test_the_interval_of_a_share_holds_the_share_and_stays_within_0_and_1(hits, confidence):
    rows = np.array(hits, float)
    low, high = interval(SHARE, rows, Evaluate(confidence=confidence))
    assert 0 <= low <= rows.mean() + 1e-12 and rows.mean() - 1e-12 <= high <= 1


def test_more_confidence_is_a_wider_interval_and_more_rows_a_narrower_one():
    def width(rows: int, confidence: float) -> float:
        low, high = wilson(np.array([1.0, 0.0] * rows), confidence)
        return high - low

    assert width(10, 0.9) < width(10, 0.95) and width(40, 0.95) < width(10, 0.95)


@pytest.mark.parametrize(("confidence", "z"), [(0.95, 1.96), (0.8, 1.2816)])
def test_the_bootstrap_is_about_as_wide_as_theory_says(confidence, z):
    values = np.random.default_rng(0).normal(size=400)
    low, high = bootstrap(SCORE, values, Evaluate(bootstrap_resamples=2000, confidence=confidence))
    assert high - low == pytest.approx(2 * z * values.std() / 20, rel=0.1)
