"""A batch whose loss is far above those before it: rows that are damaged, or weights that have just been."""

from statistics import median

from tasks.stages.train.guards.figures import ENOUGH, Recent
from tasks.stages.train.params import Guards

SIGMA = 1.4826  # standard deviations of a normal distribution in its median absolute deviation
TIMES = 2


def problem(guards: Guards, recent: Recent, loss: float, norm: float) -> str | None:
    """The loss exceeds the median m of the latest losses by more than `spike` robust standard deviations, and by more
    than TIMES the loss that the run began with.

    The second bound is for runs that have learnt nearly everything: at a median of 0.01, ten times as much is no harm.
    Robust, since spikes must not widen the limit: 1.4826 median |x - m| (Hampel 1974, JASA 69).
    """
    if guards.spike is None or len(recent.latest) < ENOUGH:
        return None
    middle = median(recent.latest)
    deviation = SIGMA * median(abs(value - middle) for value in recent.latest)
    if loss <= middle + max(guards.spike * deviation, TIMES * abs(median(recent.first))):
        return None
    return f"the training loss is {loss:.3g}, and was {middle:.3g} in the steps before"
