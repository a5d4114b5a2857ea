"""Whether tuning was worth it: who tells each label best, by how much, how fast and at what price."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tasks.contestants import TUNED
from tasks.report.plots import words

PRICE = 0.04  # dollars for an hour of one core: about what clouds ask for one of a general machine, on demand, in 2026
NAMES = {
    "parent": "its parent",
    "few_shot": "its parent with examples",
    "probe": "a linear classifier (the probe)",
    "commonest": "always the commonest class",
    "nearest": "the nearest neighbours' vote",
    "retrieved": "its parent with retrieved examples",
    TUNED: "the tuned model",
}

VERDICTS = {
    True: "Tuning was worth it",
    False: "Tuning was not worth it",
    None: "It is not shown that tuning was worth it",
}


@dataclass(frozen=True)
class Standing:
    """A contestant's `value`, and by how much the tuned model leads, with the interval of the paired difference.

    `cost` is in dollars for 1,000 answers. Of the tuned model itself there is no lead.
    """

    who: str
    value: float
    lead: float | None
    interval: tuple[float, float] | None
    seconds_per_answer: float | None
    cost: float | None


@dataclass(frozen=True)
class Contest:
    """Who stands where in one thing that is told, the best first; `winner` is the first."""

    what: str
    measure: str
    winner: str
    standings: tuple[Standing, ...]


@dataclass(frozen=True)
class Worth:
    """`sentence` says whether tuning was worth it, `was` the same as yes, no or None (not shown); `assumption` what the
    costs rest on. The first of `contests` is over all labels.
    """

    was: bool | None
    sentence: str
    contests: tuple[Contest, ...]
    assumption: str


def worth(leads: Mapping[str, Any], paces: Mapping[str, float], cores: int) -> Worth | None:
    """What leads.json of an evaluation says, with the seconds that each contestant takes for an answer on `cores`
    cores; None where the tuned model met nobody.
    """
    contests = tuple(_contest(contest, paces, cores) for contest in leads.get("contests", ()))
    if not contests:
        return None
    assumption = (
        f"{PRICE:g} dollars for an hour of a core, and all {cores} cores at work while answers are made, in batches"
    )
    was, sentence = _sentence(contests[0], leads["contests"][0], leads["confidence"])
    return Worth(was, sentence, contests, assumption)


def _contest(contest: Mapping[str, Any], paces: Mapping[str, float], cores: int) -> Contest:
    def standing(who: str, value: float, lead: float | None, interval: Sequence[float] | None) -> Standing:
        pace = paces.get(who)
        cost = None if pace is None else 1000 * pace * cores * PRICE / 3600
        return Standing(who, value, lead, None if interval is None else (interval[0], interval[1]), pace, cost)

    every = [standing(TUNED, contest["tuned"], None, None)]
    every += [standing(who, of["value"], of["lead"], of["interval"]) for who, of in contest["others"].items()]
    sign = -1 if contest["higher_is_better"] else 1
    standings = tuple(sorted(every, key=lambda each: sign * each.value))  # of equals the tuned model first
    return Contest(contest["what"], contest["measure"], standings[0].who, standings)


def _sentence(contest: Contest, raw: Mapping[str, Any], confidence: float) -> tuple[bool | None, str]:
    tuned = next(each for each in contest.standings if each.who == TUNED)
    best = next(each for each in contest.standings if each.who != TUNED)
    assert best.lead is not None and best.interval is not None
    low, high = best.interval
    was = True if low > 0 else False if high < 0 else None
    is_share = _is_share(contest.measure)
    over = f"over {contest.what}" if contest.what == "all labels" else f"on {words(contest.what)}"
    over += "" if raw["higher_is_better"] else " (lower is better)"
    margin = _margin(best.lead, low, high, confidence, is_share)
    alone = "" if raw["others"][best.who]["tells_all"] else ", which tells labels and writes no text"
    return was, (
        f"{VERDICTS[was]}: {over}, the tuned model reaches {_figure(tuned.value, is_share)}, and the best without "
        f"tuning, {NAMES[best.who]}{alone}, {_figure(best.value, is_share)} ({margin})."
    )


def figure(value: float, measure: str) -> str:
    """A value of a measure, as a person reads it."""
    return _figure(value, _is_share(measure))


def margin(lead: float, measure: str) -> str:
    """A lead, as a person reads it: in points where the measure is a share."""
    return f"{100 * lead:+.1f}" if _is_share(measure) else f"{lead:+.3g}"


def _is_share(measure: str) -> bool:
    return measure.endswith(("_accuracy", "labels_right"))


def _figure(value: float, is_share: bool) -> str:
    return f"{100 * value:.1f} %" if is_share else f"{value:.3g}"


def _margin(lead: float, low: float, high: float, confidence: float, is_share: bool) -> str:
    if is_share:
        return f"{100 * lead:+.1f} points, {100 * confidence:g} % interval {100 * low:+.1f} to {100 * high:+.1f}"
    return f"{lead:+.3g}, {100 * confidence:g} % interval {low:+.3g} to {high:+.3g}"
