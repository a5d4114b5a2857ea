"""Reward hacking: a reward that rises because something else goes wrong. The decisions, without a trainer.

A training by reward logs, at each step that generates: `reward`, `kl` (nats a token, to the parent), `length`
(tokens), `repetition` (share of n-grams that an answer has already said) and `held_out/…` (what is measured and never
rewarded). The last `window` of these steps are compared with the first. A figure is wrong where Welch's t-test,
one-sided, finds it beyond its limit with p < FALSE_STOPS / (looks of the run × figures): by Bonferroni's inequality a
whole run whose figures stay at their limits is stopped in error with at most that probability, and one whose figures
stay as they were far more seldom. A limit is a margin, since a significant change need not be a bad one.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tasks.models.prompted import Limits

FALSE_STOPS = 0.01  # probability, for a whole run
RISEN = 0.05  # p below which the reward is called risen
IN_A_ROW = 3  # steps beyond the limit of kl, which is a bound and not compared with the first steps
HELD_OUT = "held_out/"  # and the name of what is measured
EVALUATED = "eval_"  # and the name of a figure, of an evaluation

Points = Sequence[Mapping[str, float]]  # what each step logged, in order; all have `step` and `reward`


@dataclass(frozen=True)
class Trouble:
    """Why a run is stopped."""

    since: int  # the first of the steps in which it shows
    figure: str  # kl, length, repetition, or the name of what is held out
    words: str  # what went wrong, without a full stop


def runaway(limits: Limits, points: Points) -> Trouble | None:
    """The model is too far from its parent in each of the last IN_A_ROW of `points`, whatever the reward does."""
    last = _of(points[-IN_A_ROW:], "kl")
    if limits.kl is None or len(last) < IN_A_ROW or min(last) <= limits.kl:
        return None
    words = f"the model is {_mean(last):.3g} nats a token away from its parent (limits.kl is {limits.kl:g})"
    return Trouble(int(points[-IN_A_ROW]["step"]), "kl", words)


def hacked(limits: Limits, points: Points, looks: int) -> Trouble | None:
    """What went wrong while the reward rose, as seen after the last of `points`, in one of `looks` of the whole run;
    None if nothing did.
    """
    if len(points) < 2 * limits.window:
        return None
    first, last = points[: limits.window], points[-limits.window :]
    before, now = _of(first, "reward"), _of(last, "reward")
    if _p_greater(now, before) >= RISEN:
        return None
    checks = list(_checks(limits, first, last))
    for name, beyond, within, words in checks:
        if _p_greater(beyond, within) < FALSE_STOPS / (max(looks, 1) * len(checks)):
            rise = f"the reward rose from {_mean(before):.3g} to {_mean(now):.3g}, but {words}"
            return Trouble(int(last[0]["step"]), name, rise)
    return None


def spoilt(limits: Limits, first: Mapping[str, float], later: Mapping[str, float]) -> str | None:
    """The figure of a `later` evaluation that is beyond its limit, compared with the `first` one; None if none is. Both
    are of greedy answers to the same rows, so nothing is left to chance but which rows these are, and no test is made.
    """
    before, now = ({key.removeprefix(EVALUATED): value for key, value in told.items()} for told in (first, later))
    checks = _checks(limits, [before], [now])
    return next((name for name, beyond, within, _ in checks if beyond[0] > within[0]), None)


def _checks(limits: Limits, first: Points, last: Points) -> Iterator[tuple[str, list[float], list[float], str]]:
    """(figure, numbers, numbers that the former must not exceed, what to say if they do) of each figure that is logged
    and has a limit.
    """
    before, now = _of(first, "length"), _of(last, "length")
    if limits.length is not None and before and now:
        times = f"answers are {_mean(now) / max(_mean(before), 1e-9):.1f} times as long as in the first steps"
        yield "length", now, [limits.length * x for x in before], f"{times} (limits.length is {limits.length:g})"
    before, now = _of(first, "repetition"), _of(last, "repetition")
    if limits.repetition is not None and before and now:
        words = f"answers repeat {_mean(now):.0%} of their words, and {_mean(before):.0%} in the first steps"
        limit = f"(limits.repetition is {limits.repetition:g})"
        yield "repetition", now, [limits.repetition + x for x in before], f"{words} {limit}"
    drop = limits.held_out
    if drop is None:
        return
    for name in sorted(name for name in first[0] if name.startswith(HELD_OUT)):
        before, now = _of(first, name), _of(last, name)
        words = f"`{name.removeprefix(HELD_OUT)}`, which is not rewarded, fell from {_mean(before):.3g} to"
        yield name, [x - drop for x in before], now, f"{words} {_mean(now):.3g} (limits.held_out is {drop:g})"


def _of(points: Points, name: str) -> list[float]:
    return [point[name] for point in points if name in point]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _p_greater(ones: Sequence[float], others: Sequence[float]) -> float:
    """p of Welch's t-test that the mean of `ones` is not greater than that of `others`."""
    from scipy.stats import ttest_ind

    if max(ones) == min(ones) and max(others) == min(others):  # no variance at all: t is not defined
        return 0.0 if ones[0] > others[0] else 1.0
    return float(ttest_ind(ones, others, equal_var=False, alternative="greater").pvalue)
