"""perplexity: how surprised the model is by a token of the expected answer."""

import math

import numpy as np

from tasks.stages.evaluate.measures.measure import Measure, Rows

MOST = 700.0  # nats: exp of more overflows


def perplexity(_: str) -> Measure:
    """exp of the mean negative log-likelihood a token; a row's parts are its nats and its tokens."""
    return Measure(
        "perplexity",
        "choices per token",
        False,
        "ratio",
        lambda rows: np.array([(row.nll, row.tokens) for row in rows], float),
        of_sums,
        (1.0, math.inf),
    )


def of_sums(rows: Rows) -> float:
    """Perplexity of (nats, tokens), shape (rows, 2), over all of them."""
    nats, tokens = rows.sum(axis=0)
    return math.exp(min(MOST, nats / tokens))
