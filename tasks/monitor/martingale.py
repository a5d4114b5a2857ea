"""Conformal test martingales: wealth that grows by betting against 'nothing has changed' only when something has.

Vovk, Petej, Nouretdinov, Ahlberg, Carlsson, Gammerman 2021, "Retrain or not retrain: conformal test martingales for
change-point detection". While nothing changes, wealth is a martingale that starts at 1, so that it ever reaches
1/a with a chance of at most a (Ville 1939), however often one looks. All functions are vectorised over leading axes.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.integer[Any]]

BINS = 64
LINEAR = (0.5, 1.0, 1.9)  # slopes of 1 ± ε(p - ½); 2 would bet everything on one request
POWER = (0.3, 0.6)  # exponents of κ·p^(κ-1), for the rare and strange
ODDS = (3.0, 1 / 3)  # how much likelier than it was a class may have become
JUMP = 0.001  # share of the wealth that changes its bet with each request: the simple jumper
MAX_WEALTH = 1e60  # far beyond any threshold, and products stay finite
SIDE = len(LINEAR) + len(POWER)
STEPS = 2 * len(ODDS)
BETS = 2 * SIDE + 1 + STEPS + 1


def factors(p: Floats, cuts: Floats) -> Floats:
    """Return (..., BETS): the factor by which each bet multiplies its wealth at `p` (...): on small p, on large p,
    on both ends, on either side of a cut, and no bet.

    Each has mean 1 over p in [0, 1]. `cuts` (...) are fixed beforehand, from other data than pool and requests: where p
    falls below a cut as often as a class has occurred, odds that change are bet on directly.
    """
    p, cuts = np.clip(p, 1e-12, 1 - 1e-12)[..., None], np.asarray(cuts)[..., None]
    slopes, exponents, odds = np.array(LINEAR), np.array(POWER), np.array(ODDS)
    tilt = slopes * (p - 0.5)
    small, large = (exponents * np.exp((exponents - 1) * np.log(tail)) for tail in (p, 1 - p))
    ends = 1 + 0.9 * (12 * (p - 0.5) ** 2 - 1)
    steps = [np.where(p < cut, odds, 1.0) / (1 - cut + odds * cut) for cut in (cuts, cuts + (1 - cuts) / 4)]
    return np.concatenate([1 - tilt, small, 1 + tilt, large, ends, *steps, np.ones_like(p)], axis=-1)


def prior(sides: list[str]) -> Floats:
    """Return (streams, BETS): how each stream spreads its initial wealth.

    `high` bets on strange scores (small p) only, `both` on any change, `class` at the cut, `rare` on more of what is
    strange and seldom.
    """
    spread: Floats = np.zeros((len(sides), BETS))
    steps = 2 * SIDE + 1
    chosen: dict[str, slice | list[int]] = {
        "high": slice(0, SIDE),
        "both": slice(0, steps),
        "class": slice(steps, BETS - 1),
        "rare": [*range(len(LINEAR), SIDE), *range(steps, BETS - 1, len(ODDS))],
    }
    for row, side in zip(spread, sides, strict=True):
        row[chosen[side]] = 1
        row[-1] = 1
    normal: Floats = spread / spread.sum(axis=1, keepdims=True)
    return normal


def p_values(counts: Ints, bins: Ints, draws: Floats) -> Floats:
    """Return the smoothed rank (...) of a score in bin `bins` (...) among the pool `counts` (..., BINS) and itself;
    `draws` (...) in [0, 1) break ties.

    While pool and score are exchangeable, these are independent and uniform, however small the pool is.
    """
    places = np.arange(counts.shape[-1])
    above = (counts * (places > bins[..., None])).sum(axis=-1)
    ties = np.take_along_axis(counts, bins[..., None], axis=-1)[..., 0] + 1
    ranks: Floats = (above + (1 - draws) * ties) / (counts.sum(axis=-1) + 1)
    return ranks


def begin(wealth: Floats, spread: Floats, check: int, checks: int) -> Floats:
    """Return `wealth` (..., BETS) with the bets that begin with check number `check` of a year of `checks`."""
    return wealth + spread * share(check, checks)


def share(check: int, checks: int) -> float:
    """Return the share of a year's wealth that begins with check number `check`; the shares of a year sum to 1.

    Half of it evenly, so that a long quiet past costs a logarithm; half falling like 1/check, so that a change soon
    after the start is seen soon. The rest is cash, which neither grows nor shrinks.
    """
    if not 1 <= check <= checks:
        return 0.0
    return 0.5 / checks + 0.5 / check / harmonic(checks)


def harmonic(n: int) -> float:
    """Return 1 + 1/2 + … + 1/n, to ten digits (Euler-Maclaurin beyond 100)."""
    if n <= 100:
        return sum(1 / k for k in range(1, n + 1))
    return float(np.log(n) + np.euler_gamma + 1 / (2 * n) - 1 / (12 * n * n))


def cash(check: int, checks: int) -> float:
    """Return the share of the wealth that has not begun after check number `check`."""
    if check >= checks:
        return 0.0
    return 1 - 0.5 * check / checks - (0.5 * harmonic(check) / harmonic(checks) if check else 0.0)


def bet(wealth: Floats, spread: Floats, p: Floats, cuts: Floats) -> Floats:
    """Return `wealth` (..., BETS) after one p-value (...) each; `spread` (..., BETS) is where jumpers land, `cuts`
    (...) are where steps lie.
    """
    wealth = (1 - JUMP) * wealth + JUMP * spread * wealth.sum(axis=-1, keepdims=True)
    return np.minimum(wealth * factors(p, cuts), MAX_WEALTH)


def follow(
    counts: Ints, wealth: Floats, spread: Floats, cuts: Floats, bins: Ints, draws: Floats
) -> tuple[Ints, Floats]:
    """Return (counts, wealth) after the requests `bins`, `draws` (requests, streams), one after the other; a bin of -1
    is no score.
    """
    counts, wealth = counts.copy(), wealth.copy()
    for row, draw in zip(bins, draws, strict=True):
        present = np.flatnonzero(row >= 0)
        occupied = row[present]
        p = p_values(counts[present], occupied, draw[present])
        wealth[present] = bet(wealth[present], spread[present], p, cuts[present])
        counts[present, occupied] += 1
    return counts, wealth
