"""The win rate of one model over another: the mean over prompts of 1 for a win, 1/2 for a tie and 0 for a loss."""

import math
from typing import TypeAlias, TypedDict

import numpy as np
from numpy.typing import NDArray

Shares: TypeAlias = NDArray[np.float64]  # (prompts,), in [0, 1]: how far the first model's answer won
RESAMPLES, SEED = 9999, 42  # of the permutation test
WHOLE = (0.0, 0.5, 1.0)  # shares of prompts that were judged once, or twice with the same result


class Rate(TypedDict):
    """`value` is the win rate; `p` that so large a departure from 1/2 arises by chance, either way."""

    wins: int
    ties: int
    losses: int
    value: float
    interval: list[float]
    p: float


def rate(shares: Shares, confidence: float) -> Rate:
    """The win rate of the first model, its interval, and the two-sided p that neither is better."""
    return {
        "wins": int((shares > 0.5).sum()),
        "ties": int((shares == 0.5).sum()),
        "losses": int((shares < 0.5).sum()),
        "value": float(shares.mean()),
        "interval": interval(shares, confidence),
        "p": p_of(shares),
    }


def interval(shares: Shares, confidence: float) -> list[float]:
    """[low, high] of the mean by inverting the score test, as Wilson 1927 does for a share.

    A mean m₀ of shares w is tested with the variance m₀ (1 - m₀) - s, where s = Σ w (1 - w) / (n + z²) is what ties
    take off a coin's. Without ties this is Wilson's interval. The z² prompts added in s keep it from having no width
    when all prompts tie. In simulations of 20 to 130 prompts it holds the true rate at least as often as stated where
    ties are many, and the bootstrap, which has no width when all prompts agree, far less often (tests/tasks).
    """
    from scipy.stats import norm

    n, m, z2 = len(shares), float(shares.mean()), float(norm.ppf((1 + confidence) / 2)) ** 2
    s = float((shares * (1 - shares)).sum()) / (n + z2)
    # (m - m₀)² = z²/n (m₀ (1 - m₀) - s), solved for m₀
    a, b, c = 1 + z2 / n, 2 * m + z2 / n, m * m + z2 / n * s
    root = math.sqrt(max(0.0, b * b - 4 * a * c))
    return [(b - root) / (2 * a), (b + root) / (2 * a)]


def p_of(shares: Shares) -> float:
    """The two-sided p that neither model is better: which answer is whose is then a coin's toss, w as likely as 1 - w.

    The sign test without ties (Dixon & Mood 1946), exact, where each prompt has one winner or none; the permutation
    test of the same hypothesis (Fisher 1935) where the two orders of a judge disagree to a quarter.
    """
    from scipy.stats import binomtest, permutation_test

    won, lost = int((shares > 0.5).sum()), int((shares < 0.5).sum())
    if not won + lost:
        return 1.0
    if np.isin(shares, WHOLE).all():
        return float(binomtest(won, won + lost, 0.5).pvalue)
    if len(shares) < 2:
        return 1.0
    test = permutation_test(
        (shares - 0.5,),
        np.mean,
        permutation_type="samples",
        n_resamples=RESAMPLES,
        rng=np.random.default_rng(SEED),
        vectorized=True,
        batch=1000,
    )
    return float(test.pvalue)
