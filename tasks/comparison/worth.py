"""Whether tuning was worth it: which contestant predicts each label best, by how much, how fast and at what price."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypedDict

from tasks.comparison.contestants import CONTESTANTS, TUNED
from tasks.comparison.measure_names import is_share, words

if TYPE_CHECKING:
    from tasks.stages.evaluate.paired import Contest, Leads

PRICE = 0.04  # dollars for an hour of one core: about what clouds ask for one of a general machine, on demand, in 2026
VERDICTS = {
    True: "Tuning was worth it",
    False: "Tuning was not worth it",
    None: "It is not shown that tuning was worth it",
}


class Standing(TypedDict):
    """A contestant's `value`, and by how much the tuned model leads, with the interval of the paired difference.

    `cost` is in dollars for 1,000 answers. Of the tuned model itself there is no lead.
    """

    who: str
    value: float
    lead: float | None
    interval: Sequence[float] | None
    seconds_per_answer: float | None
    cost: float | None


class Ranking(TypedDict):
    """Who stands where on one label, or over all, the best first; `winner` is the first."""

    what: str
    measure: str
    winner: str
    standings: Sequence[Standing]


class Worth(TypedDict):
    """`sentence` says whether tuning was worth it, `was` the same as yes, no or None (not shown); `assumption` what the
    costs rest on. The first of `contests` is over all labels.
    """

    was: bool | None
    sentence: str
    contests: Sequence[Ranking]
    assumption: str


def worth(leads: "Leads", paces: Mapping[str, float], cores: int) -> Worth | None:
    """What leads.json of an evaluation says, with the seconds that each contestant takes for an answer on `cores`
    cores; None where the tuned model had no opponent.
    """
    rankings = [_ranking(contest, paces, cores) for contest in leads["contests"]]
    if not rankings:
        return None
    assumption = f"{PRICE:g} dollars per core hour, with all {cores} cores busy while answers are generated, in batches"
    was, sentence = _sentence(rankings[0], leads["contests"][0], leads["confidence"])
    return Worth(was=was, sentence=sentence, contests=rankings, assumption=assumption)


def _ranking(contest: "Contest", paces: Mapping[str, float], cores: int) -> Ranking:
    def standing(who: str, value: float, lead: float | None, interval: Sequence[float] | None) -> Standing:
        pace = paces.get(who)
        cost = None if pace is None else 1000 * pace * cores * PRICE / 3600
        return Standing(who=who, value=value, lead=lead, interval=interval, seconds_per_answer=pace, cost=cost)

    every = [standing(TUNED, contest["tuned"], None, None)]
    every += [
        standing(who, rival["value"], rival["lead"], rival["interval"]) for who, rival in contest["others"].items()
    ]
    sign = -1 if contest["higher_is_better"] else 1
    standings = sorted(every, key=lambda row: sign * row["value"])  # of equals the tuned model first
    return Ranking(what=contest["what"], measure=contest["measure"], winner=standings[0]["who"], standings=standings)


def _sentence(ranking: Ranking, contest: "Contest", confidence: float) -> tuple[bool | None, str]:
    best = next(row["who"] for row in ranking["standings"] if row["who"] != TUNED)
    rival = contest["others"][best]
    low, high = rival["interval"]
    was = True if low > 0 else False if high < 0 else None
    what = contest["what"]
    over = f"over {what}" if what == "all labels" else f"on {words(what)}"
    over += "" if contest["higher_is_better"] else " (lower is better)"
    margin = _margin(rival["lead"], low, high, confidence, contest["measure"])
    alone = "" if rival["tells_all"] else ", which predicts labels and writes no text"
    ours, theirs = (figure(value, contest["measure"]) for value in (contest["tuned"], rival["value"]))
    return was, (
        f"{VERDICTS[was]}: {over}, the tuned model reaches {ours}, and the best without tuning, "
        f"{CONTESTANTS[best].rival}{alone}, {theirs} ({margin})."
    )


def figure(value: float, measure: str) -> str:
    """A value of a measure, as a person reads it."""
    return f"{100 * value:.1f} %" if is_share(measure) else f"{value:.3g}"


def margin(lead: float, measure: str) -> str:
    """A lead, as a person reads it: in points where the measure is a share."""
    return f"{100 * lead:+.1f}" if is_share(measure) else f"{lead:+.3g}"


def _margin(lead: float, low: float, high: float, confidence: float, measure: str) -> str:
    if is_share(measure):
        return f"{100 * lead:+.1f} points, {100 * confidence:g} % interval {100 * low:+.1f} to {100 * high:+.1f}"
    return f"{lead:+.3g}, {100 * confidence:g} % interval {low:+.3g} to {high:+.3g}"
