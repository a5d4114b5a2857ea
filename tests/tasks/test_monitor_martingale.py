"""Evidence is a martingale: p-values are uniform while nothing changes, wealth has mean 1, restarts are an exact
mixture, and change is seen.
"""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest

from tasks.monitor import martingale as m

ONE = np.array([0.5])


def stream(
    seed: int, reference: int, requests: int, shares: np.ndarray, streams: int = 1, fixed: bool = False
) -> np.ndarray:
    """(streams, requests) p-values, each stream from the population of its own reference. `fixed`: the planted bug,
    a pool that does not grow.
    """
    chance, found = np.random.default_rng(seed), []
    counts = np.stack(
        [np.bincount(chance.choice(len(shares), reference, p=shares), minlength=m.BINS) for _ in range(streams)]
    )
    for bins in chance.choice(len(shares), (requests, streams), p=shares):
        found.append(m.p_values(counts, bins, chance.random(streams)))
        counts[np.arange(streams), bins] += not fixed
    return np.array(found).T


def mean_p(fixed: bool) -> np.ndarray:
    """(200,): of many streams with tiny references, how far the p-values' own mean is from a half, in its standard
    errors.
    """
    found = stream(3, 20, 400, np.full(64, 1 / 64), streams=200, fixed=fixed)
    return (found.mean(axis=1) - 0.5) / np.sqrt(1 / 12 / 400)


@pytest.mark.parametrize("shares", [np.full(64, 1 / 64), np.array([0.9, 0.1]), np.array([0.5, 0.3, 0.15, 0.05])])
@pytest.mark.parametrize("reference", [0, 5, 400])
def test_p_values_are_uniform_and_independent_however_small_the_reference(reference: int, shares: np.ndarray) -> None:
    found = stream(1 + reference, reference, 300, shares, streams=20)
    assert kstest(found.ravel(), "uniform").pvalue > 0.005
    assert abs(np.corrcoef(found[:, 1:].ravel(), found[:, :-1].ravel())[0, 1]) < 0.06


def test_a_fixed_pool_is_caught_by_the_spread_of_mean_p_values() -> None:
    assert kstest(mean_p(fixed=False), "norm").pvalue > 0.005
    assert kstest(mean_p(fixed=True), "norm").pvalue < 1e-6  # it finds the error of its own small reference


@pytest.mark.parametrize("cut", [0.02, 0.3, 0.9])
def test_every_bet_is_fair(cut: float) -> None:
    p = (np.arange(400_000) + 0.5) / 400_000
    assert m.factors(p, np.full(p.shape, cut)).mean(axis=0) == pytest.approx(
        np.ones(m.BETS), abs=0.02
    )  # the midpoint rule misses a little of p^-0.7
    assert (m.factors(p, np.full(p.shape, cut)) >= 0).all()


@pytest.mark.parametrize("scores", [(0, 1, 2), (0, 0, 1), (1, 1, 1), (0, 2, 2, 5)])
def test_wealth_has_mean_one_over_all_orders_exactly(scores: tuple[int, ...]) -> None:
    """Linear bets are linear in each draw, so a draw of ½ is their mean; the first score of an order is the
    reference.
    """
    spread = np.zeros((1, m.BETS))
    spread[0, [0, 1, 2, m.SIDE, -1]] = 0.2
    totals = []
    for order in permutations(scores):
        counts = np.bincount(order[:1], minlength=m.BINS)[None]
        bins = np.array(order[1:])[:, None]
        totals.append(m.follow(counts, spread.copy(), spread, ONE, bins, np.full(bins.shape, 0.5))[1].sum())
    assert np.mean(totals) == pytest.approx(1, abs=1e-12)
    assert len(set(scores)) == 1 or np.ptp(totals) > 1e-3  # it does bet


@given(st.lists(st.lists(st.floats(0.01, 0.99), max_size=4), min_size=1, max_size=6), st.integers(6, 9000))
def test_the_recursion_is_the_mixture_over_restarts(checks: list[list[float]], year: int) -> None:
    spread, wealth = m.prior(["both"]), np.zeros((1, m.BETS))
    explicit = m.cash(len(checks), year)
    for number, batch in enumerate(checks, 1):
        wealth = m.begin(wealth, spread, number, year)
        for p in batch:
            wealth = m.bet(wealth, spread, np.array([p]), ONE)
    for start in range(1, len(checks) + 1):
        alone = spread.copy()
        for p in [p for batch in checks[start - 1 :] for p in batch]:
            alone = m.bet(alone, spread, np.array([p]), ONE)
        explicit += m.share(start, year) * alone.sum()
    assert wealth.sum() + m.cash(len(checks), year) == pytest.approx(explicit, rel=1e-9)


@pytest.mark.parametrize("checks", [1, 2, 100, 101, 8766])
def test_all_of_a_years_money_begins_once(checks: int) -> None:
    begun = np.cumsum([m.share(k, checks) for k in range(1, checks + 2)])
    assert begun[-1] == pytest.approx(1) and m.cash(checks, checks) == 0 and m.cash(0, checks) == 1
    assert m.cash(checks // 2, checks) == pytest.approx(1 - (begun[checks // 2 - 1] if checks > 1 else 0), abs=1e-9)


def wealth_after(bins: np.ndarray, reference: np.ndarray, side: str = "both", cut: float = 0.5) -> float:
    """What a stream holds after a year's first check with `bins`."""
    chance, spread = np.random.default_rng(1), m.prior([side])
    counts = np.bincount(reference, minlength=m.BINS)[None]
    begun = m.begin(np.zeros((1, m.BETS)), spread, 1, 100)
    return float(
        m.follow(counts, begun, spread, np.array([cut]), bins[:, None], chance.random((len(bins), 1)))[1].sum()
        + m.cash(1, 100)
    )


def test_a_shift_is_seen_and_none_is_not() -> None:
    chance = np.random.default_rng(5)
    reference, same, up = (chance.integers(low, high, 300) for low, high in ((0, 40), (0, 40), (20, 60)))
    assert wealth_after(same, reference) < 20 < 1e6 < wealth_after(up, reference)
    assert wealth_after(same, reference, "high") < 20 < 1e6 < wealth_after(up, reference, "high")


def test_less_of_what_is_strange_is_no_alarm() -> None:
    chance = np.random.default_rng(6)
    reference, down = chance.integers(0, 60, 300), chance.integers(0, 20, 300)
    assert wealth_after(down, reference, "high") < 1 < 1e6 < wealth_after(down, reference)


@pytest.mark.parametrize(("before", "after"), [(0.25, 0.6), (0.25, 0.02), (0.03, 0.2)])
def test_a_class_that_becomes_more_or_less_common_is_seen(before: float, after: float) -> None:
    chance = np.random.default_rng(7)
    reference, now = (chance.random(size) < share for size, share in ((400, before), (300, after)))
    assert wealth_after(now.astype(int), reference.astype(int), "class", before) > 1e3


def test_wealth_stays_finite_under_a_shift_without_end() -> None:
    wealth = spread = m.prior(["both"])
    for _ in range(300):
        wealth = m.bet(wealth, spread, np.array([1e-9]), ONE)
    assert np.isfinite(wealth).all() and wealth.sum() >= m.MAX_WEALTH
