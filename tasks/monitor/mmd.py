"""Two-sample test: maximum mean discrepancy with a permutation test (Gretton et al. 2012, JMLR 13)."""

import numpy as np

from tasks.monitor.martingale import Floats


def mmd(x: Floats, y: Floats, permutations: int, seed: int = 0) -> tuple[float, float]:
    """Return (MMD² with a Gaussian kernel of the median distance, p-value) of `x` (n, d) and `y` (m, d). The p-value is
    exact in level: (1 + number as large) / (1 + permutations).
    """
    from scipy.spatial.distance import pdist, squareform

    points = np.concatenate([x, y]).astype(float)
    distances = pdist(points, "sqeuclidean")
    middle = float(np.median(distances[distances > 0])) if (distances > 0).any() else 1.0
    kernel = np.exp(-squareform(distances) / middle)
    weights = np.concatenate([np.full(len(x), 1 / len(x)), np.full(len(y), -1 / len(y))])
    generator = np.random.default_rng(seed)
    shuffled = generator.permuted(np.tile(weights, (permutations, 1)), axis=1)  # (permutations, n + m)
    shuffles = np.einsum("pi,pi->p", shuffled @ kernel, shuffled)
    value = float(weights @ kernel @ weights)
    return value, float((1 + (shuffles >= value - 1e-12).sum()) / (1 + permutations))
