"""A learning rate that is too high: training makes the model worse than it was, and keeps it so."""

from statistics import median

from tasks.stages.train.guards.figures import ENOUGH, FIRST, Recent
from tasks.stages.train.params import Guards


def problem(guards: Guards, recent: Recent) -> str | None:
    """Each of the last ENOUGH losses is above the median of the first, and their own median `diverged` times as high.

    A single loss says little, but ENOUGH of them on one side of the first median would be chance once in 2^ENOUGH.
    """
    if guards.diverged is None or len(recent.first) < FIRST or len(recent.latest) < ENOUGH:
        return None
    start, last = median(recent.first), recent.latest[-ENOUGH:]
    if start <= 0 or min(last) <= start or median(last) <= guards.diverged * start:
        return None
    return f"the training loss is {median(last):.3g}, and was {start:.3g} in the first steps"
