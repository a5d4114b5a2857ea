"""Which learning rate a range test suggests: two rules of thumb, and the more careful of them."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from tasks.lr_find.range_test import Point

SETTLED = 5  # steps after which a smoothed loss is one
LEAST_FALL = 0.02  # share of the first loss
STEEPEST, TENTH = "where the loss falls fastest", "a tenth of the rate with the lowest loss"


class Suggestion(NamedTuple):
    """The rates of both rules, the lowest smoothed loss and where it is, and what is suggested by which of them."""

    steepest: float
    tenth: float
    lowest: float
    lowest_at: float
    first: float

    @property
    def rate(self) -> float:
        """The lower of the two, with two digits: rates too low cost steps, rates too high the run."""
        return float(f"{min(self.steepest, self.tenth):.1e}")

    @property
    def rule(self) -> str:
        """The rule that gave the rate, in words."""
        return STEEPEST if self.steepest <= self.tenth else TENTH

    @property
    def is_vague(self) -> bool:
        """Whether the two rules differ by more than ten times."""
        return abs(math.log10(self.steepest / self.tenth)) > 1


def suggest(points: Sequence[Point]) -> Suggestion | None:
    """The suggestion of a range test; None if the loss has not fallen by 2 % at any rate.

    The slope is that of the smoothed loss over the logarithm of the rate, by central differences of two steps.
    """
    settled = points[SETTLED:]
    if len(settled) < 5:
        return None
    first = settled[0].smoothed
    at = min(range(len(settled)), key=lambda place: settled[place].smoothed)
    lowest = settled[at]
    if lowest.smoothed > (1 - LEAST_FALL) * first:
        return None
    places = range(2, max(at - 1, 3))
    steepest = min(places, key=lambda place: _slope(settled, place))
    return Suggestion(settled[steepest].rate, lowest.rate / 10, lowest.smoothed, lowest.rate, first)


def _slope(points: Sequence[Point], place: int) -> float:
    """The slope at `place`; two steps to either side, so that one odd batch does not decide."""
    before, after = points[place - 2], points[min(place + 2, len(points) - 1)]
    return (after.smoothed - before.smoothed) / math.log10(after.rate / before.rate)
