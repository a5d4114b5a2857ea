"""valid: the share of answers in the required form, whatever they say."""

import numpy as np

from tasks.stages.evaluate.measures.measure import Measure


def valid(_: str) -> Measure:
    """The share of the answers that are of the format, with labels of known classes."""
    return Measure(
        "valid", "share of rows", True, "share", lambda rows: np.array([row.is_valid for row in rows], float)
    )
