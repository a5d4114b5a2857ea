"""chrf: overlap in runs of one to six characters with the right text (Popović 2015), in any script."""

from functools import lru_cache

from tasks.stages.evaluate.measures.corpus import Metric, corpus
from tasks.stages.evaluate.measures.measure import Measure


def chrf(text: str) -> Measure:
    """chrF of all texts of the column together, by sacrebleu: F with recall counted twice, blanks left out."""
    return corpus(text, "chrf", "chrF, 0 to 1", lambda _: _metric())


@lru_cache
def _metric() -> Metric:
    from sacrebleu.metrics import CHRF

    return CHRF()
