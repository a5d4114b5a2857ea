"""Decides whether a model is retrained: which triggers fire and what holds it back, each in a sentence."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from tasks.retrain.chain import too_few
from tasks.retrain.facts import HOUR, WEEK, Figure, RetrainFacts
from tasks.retrain.params import Retrain

BY_HAND, CRON, DRIFT, QUALITY, LABELS = "by hand", "cron", "drift", "quality", "labels"
RATINGS, DATA = "ratings", "data"
# The bound is tested at every check: with hourly ones, sufficient quality is called too low within a year with a
# probability of 1 %.
ALPHA = 1e-6


@dataclass(frozen=True)
class RetrainDecision:
    """Whether to retrain, one sentence for each trigger or obstacle, and which triggers fired."""

    retrain: bool
    reasons: tuple[str, ...]
    triggers: tuple[str, ...] = ()


def should_retrain(params: Retrain, facts: RetrainFacts, now: float) -> RetrainDecision:
    """Decide about a task at `now` (seconds since the epoch). Pure: the same values give the same decision.

    Triggers call for a retraining; a pause, a running retraining, an open canary, the budget and the cool-down hold it
    back. A manual request overrides the cool-down and needs nothing new since the last retraining, but overrides
    nothing else.
    """
    fired_triggers, quiet = list[tuple[str, str]](), list[tuple[str, str]]()
    for name, trigger in TRIGGERS.items():
        fired, words = trigger(params, facts, now)
        if fired and (stale := _nothing_new(name, params, facts)):
            fired, words = False, f"{words}, but {stale}"
        (fired_triggers if fired else quiet).append((name, words))
    triggers = tuple(name for name, _ in fired_triggers)
    if not triggers:
        return RetrainDecision(False, tuple(f"✗ {words}" for _, words in quiet if words))
    holds = list(_holds(params, facts, now, BY_HAND in triggers))
    reasons = [f"✓ {words}" for _, words in fired_triggers] + [f"✗ held back: {words}" for words in holds]
    return RetrainDecision(not holds, tuple(reasons), triggers)


def _by_hand(params: Retrain, facts: RetrainFacts, now: float) -> tuple[bool, str]:
    if facts.asked_by is None:
        return False, ""
    return True, f"requested manually ({f'key {facts.asked_by}' if facts.asked_by else 'command line'})"


def _cron(params: Retrain, facts: RetrainFacts, now: float) -> tuple[bool, str]:
    if params.cron is None:
        return False, ""
    from cronsim import CronSim

    due = next(CronSim(params.cron, datetime.fromtimestamp(now, UTC), reverse=True)).timestamp()
    since = max([facts.watched_since, *(past.started_at for past in facts.past[:1])])
    if facts.watched_since and due > since:
        return True, f"the schedule '{params.cron}' was due at {_time(due)}"
    return False, f"the schedule '{params.cron}' is not due"


def _drift(params: Retrain, facts: RetrainFacts, now: float) -> tuple[bool, str]:
    if facts.alarm is None:
        return (
            False,
            f"the monitor has raised no alarm about version {facts.champion}"
            if facts.champion
            else "no version is in production",
        )
    why = f"the monitor raised an alarm about version {facts.champion}" + (
        f" ({'; '.join(facts.alarm)})" if facts.alarm else ""
    )
    if not params.on_drift:
        return False, f"{why}, but retrain.on_drift is false"
    return _with_labels(params, facts, why)


def _quality(params: Retrain, facts: RetrainFacts, now: float) -> tuple[bool, str]:
    low, measured = list[str](), list[str]()
    for name, least in sorted(params.min_quality.items()):
        figure = facts.figures.get(name)
        if figure is None or not figure.n:
            measured.append(f"{name} has not been measured")
            continue
        bound = upper_bound(figure)
        words = f"{name} is {figure.value:.3f} on {figure.n} answers (at most {bound:.3f}, the least is {least:g})"
        (low if bound < least else measured).append(words)
    if not low:
        return False, f"quality is not shown to be too low: {'; '.join(measured)}" if measured else ""
    return _with_labels(params, facts, f"quality is too low: {'; '.join(low)}")


def _labels(params: Retrain, facts: RetrainFacts, now: float) -> tuple[bool, str]:
    if facts.labelled >= params.min_labelled:
        return True, f"there are {facts.labelled} new labelled rows"
    unused = f"; {facts.useless} corrected answers are not learnt from: {facts.why_useless}" if facts.useless else ""
    return False, f"{facts.labelled} new labelled rows, {params.min_labelled} would start one{unused}"


def _ratings(params: Retrain, facts: RetrainFacts, now: float) -> tuple[bool, str]:
    if not facts.learns_ratings:
        return False, ""
    words = f"{facts.rated_since} new ratings ({facts.good} good and {facts.bad} bad in all)"
    if facts.rated_since < params.min_ratings:
        return False, f"{words}, {params.min_ratings} would start one"
    why = too_few(params, facts.good, facts.bad)
    return (False, f"{words}, but {why}") if why else (True, f"there are {words}")


def _data(params: Retrain, facts: RetrainFacts, now: float) -> tuple[bool, str]:
    known = {facts.data_known, *(past.data for past in facts.past[:1] if past.is_judged)} - {None}
    if facts.data is None or not known:
        return False, "no version of the data is known to compare with"
    if facts.data in known:
        return False, "the data is the version that was last trained on"
    return True, f"the data is a new version ({facts.data[:12]})"


def _with_labels(params: Retrain, facts: RetrainFacts, why: str) -> tuple[bool, str]:
    """Return whether drift or low quality has new rows to learn from: on the champion's own rows, training would only
    reproduce it.
    """
    if facts.labelled < params.min_labelled_for_drift:
        return (
            False,
            f"{why}; it waits for labels: {facts.labelled} new labelled rows, it needs {params.min_labelled_for_drift}",
        )
    return True, f"{why}, and there are {facts.labelled} new labelled rows to learn from"


TRIGGERS = {
    BY_HAND: _by_hand,
    CRON: _cron,
    DRIFT: _drift,
    QUALITY: _quality,
    LABELS: _labels,
    RATINGS: _ratings,
    DATA: _data,
}


def _nothing_new(trigger: str, params: Retrain, facts: RetrainFacts) -> str:
    """Return why a trigger has nothing new since it last caused a retraining; empty if it has.

    A schedule's next date and another version of the data are new by themselves, and a manual request needs no reason.
    """
    least = {
        DRIFT: max(1, params.min_labelled_for_drift),
        QUALITY: max(1, params.min_labelled_for_drift),
        LABELS: params.min_labelled,
    }.get(trigger)
    if least is None:
        return ""
    last = next((past for past in facts.past if trigger in past.triggers and past.is_judged), None)
    if last is None or last.champion != facts.champion or facts.labelled_since >= least:
        return ""
    return (
        f"it already caused the retraining of {_time(last.started_at)}, and since then only {facts.labelled_since} "
        f"rows were labelled (it needs {least}) and the champion is the same"
    )


def _holds(params: Retrain, facts: RetrainFacts, now: float, by_hand: bool) -> Iterator[str]:
    if facts.paused:
        yield "retraining is paused"
    if facts.running or any(past.ended_at is None for past in facts.past):
        yield "one is already running"
    if facts.canary != "off":
        yield f"a canary is open ({facts.canary})"
    if facts.past and not by_hand and (left := facts.past[0].started_at / HOUR + params.cooldown - now / HOUR) > 0:
        yield f"the cool-down of {params.cooldown:g} hours ends in {left:.1f} hours"
    week = [past for past in facts.past if past.started_at > now - WEEK]
    if len(week) >= params.max_runs_per_week:
        yield f"the week's budget of {params.max_runs_per_week} runs is used up"
    used = sum(past.hours(now) for past in week) + facts.hours_elsewhere
    ended = next((past.hours(now) for past in facts.past if past.is_judged), 0.0)  # what the next one is likely to take
    if used >= params.max_hours_per_week or used + ended > params.max_hours_per_week:
        yield (
            f"{used:.1f} of the week's budget of {params.max_hours_per_week:g} hours are used, and one takes about "
            f"{ended:.1f}"
        )


def upper_bound(figure: Figure) -> float:
    """Return the largest share that would still give a figure this low with probability ALPHA (Clopper and Pearson
    1934, one-sided).
    """
    from scipy.stats import beta

    hits = round(figure.value * figure.n)
    return float(beta.ppf(1 - ALPHA, hits + 1, figure.n - hits)) if hits < figure.n else 1.0


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%d %b %H:%M")
