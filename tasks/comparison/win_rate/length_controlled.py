"""The win rate that would be if both answers were equally long (Dubois et al. 2024, arXiv:2404.04475).

Logistic regression of who wins on the difference in length, by scikit-learn, each tie half a win and half a loss:

    P(win) = sigmoid(θ + φ tanh(Δ / sd Δ)), Δ in characters; at Δ = 0 it is sigmoid(θ).

Their third term, how hard a prompt is, takes the verdicts on many models to estimate, and is left out. θ is free; φ has
a weak normal prior of variance STRENGTH: answers that win whenever they are longer would otherwise have no finite φ.
"""

from collections.abc import Sequence
from typing import NotRequired, TypedDict

import numpy as np
from numpy.typing import NDArray

from tasks.comparison.win_rate.rate import Shares, interval
from tasks.stages.evaluate.params import Evaluate

STRENGTH = 10.0
Weights = NDArray[np.float64]


class Controlled(TypedDict):
    """`value` with its interval, `slope` φ and `scale` sd Δ; or only the `reason` why length cannot be told apart."""

    value: NotRequired[float]
    interval: NotRequired[list[float]]
    slope: NotRequired[float]
    scale: NotRequired[float]
    reason: NotRequired[str]


def controlled(shares: Shares, lengths: tuple[Sequence[int], Sequence[int]], params: Evaluate) -> Controlled:
    """The length-controlled win rate; `lengths` in characters are of the first model's answers and of the second's.

    The interval is of the percentile bootstrap over prompts (Efron & Tibshirani 1993), seeded.
    """
    gap = np.array(lengths[0], float) - np.array(lengths[1], float)
    if gap.min() > 0 or gap.max() < 0:
        which = "longer" if gap.min() > 0 else "shorter"
        return {"reason": f"every answer is {which} than the other's, so that length cannot be told from quality"}
    if np.ptp(shares) == 0:  # all won, all tied or all lost, whatever the length
        return {"value": float(shares[0]), "interval": interval(shares, params.confidence), "slope": 0.0, "scale": 1.0}
    scale = float(gap.std()) or 1.0
    bent = np.tanh(gap / scale)
    value, slope = fit(shares, bent, np.ones(len(shares)))
    chance, n = np.random.default_rng(params.seed), len(shares)
    counts = (
        np.bincount(chance.integers(0, n, n), minlength=n).astype(float) for _ in range(params.bootstrap_resamples)
    )
    values = [fit(shares, bent, each)[0] for each in counts]
    tail = (1 - params.confidence) / 2
    return {
        "value": value,
        "interval": [float(edge) for edge in np.quantile(values, [tail, 1 - tail])],
        "slope": slope,
        "scale": scale,
    }


def fit(shares: Shares, bent: NDArray[np.float64], counts: Weights) -> tuple[float, float]:
    """(sigmoid(θ), φ) of prompts of which each counts `counts` times; `bent` is tanh(Δ / sd Δ)."""
    from sklearn.linear_model import LogisticRegression

    n, weights = len(shares), np.concatenate([counts * shares, counts * (1 - shares)])
    if not weights[:n].any() or not weights[n:].any():  # drawn again, all won or all lost
        return float(weights[:n].any()), 0.0
    won = np.repeat([1, 0], n)
    model = LogisticRegression(C=STRENGTH, solver="newton-cholesky", tol=1e-6)
    model.fit(np.concatenate([bent, bent])[:, None], won, sample_weight=weights)
    return float(1 / (1 + np.exp(-model.intercept_[0]))), float(model.coef_[0, 0])
