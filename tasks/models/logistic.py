"""Logistic regression for labels on fixed features: the probe, and token n-grams."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix
    from sklearn.linear_model import LogisticRegression

C = 30.0  # from 10 to 100, accuracy on the shipped tickets is the same, cross-validated or held out
MOST = 20_000  # training rows that are used, evenly spaced
STEPS = 500  # of the solver at most


def fit(rows: "NDArray[np.float64] | csr_matrix", labels: Sequence[str] | Sequence[int]) -> "LogisticRegression":
    """scikit-learn's classifier of at least two different `labels`; `rows`: a dense or sparse matrix."""
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=C, max_iter=STEPS).fit(rows, np.asarray(labels))
