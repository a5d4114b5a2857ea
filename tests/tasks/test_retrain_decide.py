"""Retraining starts for a reason: each trigger, and each thing that holds back, says so."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from tasks.errors import ParamsError
from tasks.records.database import RetrainingState as State
from tasks.retrain.decide import should_retrain, upper_bound
from tasks.retrain.facts import HOUR, Figure, PastRetraining, RetrainFacts
from tasks.retrain.params import Retrain
from tasks.section import parse

NOW = datetime(2026, 11, 23, 16, tzinfo=UTC).timestamp()  # a Monday
DAY = 24 * HOUR
PARAMS = Retrain(min_quality={"valid": 0.95})
CALM = RetrainFacts("triage", champion="3", data="aa", data_known="aa", watched_since=NOW - 60 * DAY)
DRIFT = replace(CALM, alarm=("the category mix changed",), labelled=30, labelled_since=30)


def ended(hours_ago: float, hours: float = 1.0, **more: object) -> PastRetraining:
    start = NOW - hours_ago * HOUR
    return PastRetraining(
        start, start + hours * HOUR, **{"state": State.PROMOTED, "champion": "2", "data": "aa", **more}
    )


@pytest.mark.parametrize(
    ("facts", "trigger", "words"),
    [
        (
            DRIFT,
            "drift",
            "the monitor raised an alarm about version 3 (the category mix changed), and there are 30 new labelled "
            "rows to learn from",
        ),
        (replace(CALM, asked_by="ab12"), "by hand", "requested manually (key ab12)"),
        (replace(CALM, asked_by=""), "by hand", "requested manually (command line)"),
        (replace(CALM, labelled=200), "labels", "there are 200 new labelled rows"),
        (replace(CALM, data="bb"), "data", "the data is a new version (bb)"),
        (
            replace(CALM, figures={"valid": Figure(0.8, 300)}, labelled=30),
            "quality",
            "quality is too low: valid is 0.800 on 300 answers (at most 0.894, the least is 0.95)",
        ),
    ],
)
def test_each_trigger_starts_one_and_says_why(facts, trigger, words):
    found = should_retrain(PARAMS, facts, NOW)
    assert found.retrain and found.triggers == (trigger,)
    assert found.reasons[0].startswith(f"✓ {words}")


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        (CALM, "✗ the monitor has raised no alarm about version 3"),
        (replace(DRIFT, labelled=29), "it waits for labels: 29 new labelled rows, it needs 30"),
        (replace(CALM, labelled=199), "✗ 199 new labelled rows, 200 would start one"),
        (
            replace(CALM, figures={"valid": Figure(0.8, 10)}, labelled=30),
            "✗ quality is not shown to be too low: valid is 0.800 on 10 answers",
        ),
        (replace(CALM, figures={"valid": Figure(0.8, 300)}), "it waits for labels: 0 new labelled rows"),
        (replace(CALM, champion=None), "✗ no version is in production"),
        (replace(CALM, data="bb", data_known=None), "✗ no version of the data is known to compare with"),
        (replace(CALM, data="bb", past=(ended(100, data="bb"),)), "✗ the data is the version that was last trained on"),
    ],
)
def test_what_does_not_start_one_says_so(facts, words):
    found = should_retrain(PARAMS, facts, NOW)
    assert not found.retrain and found.triggers == ()
    assert any(words in reason for reason in found.reasons), found.reasons


def test_an_alarm_starts_nothing_when_it_may_not():
    found = should_retrain(Retrain(on_drift=False), DRIFT, NOW)
    assert not found.retrain and any("retrain.on_drift is false" in reason for reason in found.reasons)


HELD = [
    ({"paused": True}, "retraining is paused", True),
    ({"running": True}, "one is already running", True),
    ({"past": (PastRetraining(NOW - 30 * HOUR, None),)}, "one is already running", True),
    ({"canary": "share"}, "a canary is open (share)", True),
    ({"past": (ended(3),)}, "the cool-down of 24 hours ends in 21.0 hours", False),
    ({"past": (ended(30), ended(60), ended(90))}, "the week's budget of 3 runs is used up", True),
    ({"hours_elsewhere": 24.0}, "24.0 of the week's budget of 24 hours are used", True),
    (
        {"past": (ended(30, hours=13),)},
        "13.0 of the week's budget of 24 hours are used, and one takes about 13.0",
        True,
    ),
]


@pytest.mark.parametrize(("change", "words", "also_by_hand"), HELD)
def test_what_holds_back_holds_and_says_so(change, words, also_by_hand):
    facts = replace(DRIFT, **change)
    found = should_retrain(PARAMS, facts, NOW)
    assert not found.retrain and found.triggers == ("drift",)
    assert any(reason.startswith(f"✗ held back: {words}") for reason in found.reasons), found.reasons
    assert should_retrain(PARAMS, replace(facts, asked_by=""), NOW).retrain is not also_by_hand


@pytest.mark.parametrize("trigger", ["drift", "quality", "labels"])
def test_a_trigger_needs_something_new_before_it_causes_another(trigger):
    low = {"valid": Figure(0.5, 500)}
    world = {"drift": DRIFT, "quality": replace(CALM, figures=low, labelled=40), "labels": replace(CALM, labelled=250)}[
        trigger
    ]
    refused = ended(100, champion="3", state=State.REFUSED, triggers=(trigger,))
    stale = replace(world, past=(refused,), labelled_since=0)
    found = should_retrain(PARAMS, stale, NOW)
    assert not found.retrain and any("it already caused the retraining of" in reason for reason in found.reasons)
    assert should_retrain(PARAMS, replace(stale, labelled_since=200), NOW).retrain  # more labels
    assert should_retrain(PARAMS, replace(stale, champion="4"), NOW).retrain  # another champion
    assert should_retrain(PARAMS, replace(stale, asked_by=""), NOW).retrain  # a person
    for state in (State.KILLED, State.FAILED, None):  # it never came to a verdict, for all that is known
        assert should_retrain(PARAMS, replace(stale, past=(replace(refused, state=state),)), NOW).retrain


def test_a_schedule_is_kept_once_for_each_of_its_dates():
    weekly = Retrain(cron="0 3 * * 1")
    assert should_retrain(weekly, CALM, NOW).triggers == ("cron",)
    assert not should_retrain(weekly, replace(CALM, watched_since=NOW - HOUR), NOW).retrain  # nobody was there at three
    assert not should_retrain(weekly, replace(CALM, watched_since=0.0), NOW).retrain
    done = replace(CALM, past=(ended(12),))
    assert not should_retrain(weekly, done, NOW + 3 * DAY).retrain
    assert should_retrain(weekly, done, NOW + 7 * DAY).triggers == ("cron",)


def test_a_schedule_that_is_none_is_refused_before_any_work():
    with pytest.raises(ParamsError, match=r"params\.yaml: retrain: cron is 'mondays', which is not a schedule"):
        parse(Retrain, {"cron": "mondays"}, "retrain")


def test_in_a_year_of_hourly_checks_good_quality_is_called_too_low_with_a_chance_below_one_percent():
    """The exact chance that a model just good enough is called too low, for every number of answers, times the
    checks of a year.
    """
    from scipy.stats import binom

    for n in (1, 5, 20, 100, 500):
        wrong = sum(binom.pmf(hits, n, 0.95) for hits in range(n + 1) if upper_bound(Figure(hits / n, n)) < 0.95)
        assert wrong * 24 * 365 < 0.01, n
