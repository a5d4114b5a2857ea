"""Logistic regression for labels on fixed features: the probe, and token n-grams."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix
    from sklearn.linear_model import LogisticRegression

C = 30.0  # between 10 and 100 the shipped tickets are told alike, cross-validated or held out
MOST = 20_000  # training rows that are read, spread over all
STEPS = 500  # of the solver at most


def fit(rows: "NDArray[np.float64] | csr_matrix", labels: Sequence[str] | Sequence[int]) -> "LogisticRegression":
    """scikit-learn's classifier of `labels`, of which there are two at least; `rows`: a matrix, sparse or not."""
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=C, max_iter=STEPS).fit(rows, np.asarray(labels))
