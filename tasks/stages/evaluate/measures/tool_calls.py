"""tool_call_exact_match: of the turns that should call tools, the share whose calls are the expected ones."""

import numpy as np

from tasks.formats.answer import agrees
from tasks.stages.evaluate.measures.measure import Measure


def tool_call_exact_match(_: str) -> Measure:
    """The share of the turns that should call tools whose calls are exactly the expected ones, as JSON: the same tools
    in the same order with equal arguments. Other turns are not counted, so there may be no row.
    """
    return Measure(
        "tool_call_exact_match",
        "share of turns that should call tools",
        True,
        "share",
        lambda rows: np.array([agrees(row.parsed, row.right, ()) for row in rows if row.should_call], float),
    )
