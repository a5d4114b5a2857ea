"""stated_ece: how far the confidence that answers state is from how often they are right (Tian et al. 2023)."""

import numpy as np

from tasks.stages.evaluate.measures.ece import bin_of, of_bins
from tasks.stages.evaluate.measures.measure import Measure
from tasks.stages.evaluate.measures.stated import stated
from tasks.stages.evaluate.params import Stated


def stated_ece(how: Stated) -> Measure:
    """The expected calibration error of what is stated, in 15 bins of equal width as in `ece`. Always saying one's own
    accuracy makes it 0: read it beside `stated_brier`.
    """
    return Measure(
        "stated_ece",
        "probability",
        False,
        "score",
        lambda rows: np.array([(bin_of(p), is_right - p) for is_right, p in stated(rows, how)], float),
        of_bins,
    )
