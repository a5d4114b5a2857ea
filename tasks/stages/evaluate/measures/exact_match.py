"""exact_match: the share of answers that equal the expected one as a whole."""

import numpy as np

from tasks.formats.answer import agrees, is_same_text
from tasks.stages.evaluate.measures.measure import Measure


def exact_match(_: str) -> Measure:
    """The share of the answers that are the expected text, or say the same in every column; case counts."""
    return Measure(
        "exact_match",
        "share of rows",
        True,
        "share",
        lambda rows: np.array(
            [is_same_text(row.text, row.answer) or agrees(row.parsed, row.right, ()) for row in rows], float
        ),
    )
