"""passes_tests: the share of answers that are Python and pass the tests of their row (Chen et al. 2021,
arXiv:2107.03374: pass@1 of greedy answers).
"""

import numpy as np

from tasks.stages.evaluate.code import results
from tasks.stages.evaluate.measures.measure import Measure
from tasks.stages.evaluate.params import CodeTests


def passes_tests(how: CodeTests) -> Measure:
    """The share of the rows whose answer, run in a sandbox, passes all tests."""
    return Measure(
        "passes_tests",
        "share of rows",
        True,
        "share",
        lambda rows: np.array([result.outcome == "passed" for result in results(rows, how)], float),
    )
