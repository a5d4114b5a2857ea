"""Retraining never storms: not in worlds that drift, lie and crash, and an alarm that goes on is answered once."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.records.database import RetrainingState as State
from tasks.retrain import decide
from tasks.retrain.decide import RetrainDecision, should_retrain
from tasks.retrain.facts import HOUR, WEEK, Figure, PastRetraining, RetrainFacts
from tasks.retrain.params import Retrain
from tests.examples import examples

NOW = datetime(2026, 11, 23, 16, tzinfo=UTC).timestamp()

# A world: hours pass, and in each step something happens that may ask for a retraining or get in its way.
steps = st.lists(
    st.fixed_dictionaries(
        {
            "hours": st.floats(0.01, 40),
            "alarm": st.booleans(),
            "forged": st.integers(0, 400),  # labelled rows that appear from nowhere
            "quality": st.none() | st.floats(0, 1),
            "data": st.integers(0, 3),
            "canary": st.sampled_from(["off", "off", "off", "share"]),
            "paused": st.sampled_from([False, False, False, True]),
            "takes": st.floats(0.1, 60),
            "state": st.sampled_from([None, *State]),
        }
    ),
    max_size=40,
)
knobs = st.builds(
    Retrain,
    cooldown=st.sampled_from([0.0, 1.0, 24.0]),
    max_runs_per_week=st.integers(1, 4),
    max_hours_per_week=st.sampled_from([2.0, 24.0, 1000.0]),
    min_labelled=st.sampled_from([1, 200]),
    min_labelled_for_drift=st.sampled_from([0, 30]),
    min_quality=st.just({"valid": 0.95}),
    cron=st.sampled_from([None, "* * * * *"]),
)


def play(params: Retrain, world: list[dict], judge=should_retrain) -> list[PastRetraining]:
    """The retrainings of a world, oldest first; asked at each of its steps."""
    now, past, champion, labels, since, known = NOW, (), 1, 0, 0, 0
    for step in world:
        now += step["hours"] * HOUR
        labels, since = labels + step["forged"], since + step["forged"]
        running = bool(past) and now < past[0].ended_at
        facts = RetrainFacts(
            "t",
            str(champion),
            None,
            step["paused"],
            running,
            step["canary"],
            ("drift",) if step["alarm"] else None,
            {} if step["quality"] is None else {"valid": Figure(step["quality"], 200)},
            labelled=labels,
            labelled_since=since,
            data=str(step["data"]),
            data_known=str(known),
            watched_since=NOW - 24 * HOUR,
            past=past,
        )
        first = judge(params, facts, now)
        assert judge(params, facts, now) == first  # the same facts, the same decision
        if first.retrain:
            assert not step["paused"] and step["canary"] == "off"
            past = (
                PastRetraining(
                    now, now + step["takes"] * HOUR, step["state"], first.triggers, str(champion), str(step["data"])
                ),
                *past,
            )
            champion += step["state"] is State.PROMOTED
            labels, since, known = 0, 0, step["data"]
    return list(past[::-1])


def storms(params: Retrain, runs: list[PastRetraining]) -> list[str]:
    """What a series of retrainings must never do."""
    found = []
    for i, run in enumerate(runs):
        week = [other for other in runs[: i + 1] if other.started_at > run.started_at - WEEK]
        used = sum(other.hours(run.started_at) for other in week[:-1])
        found += ["two at once"] if i and run.started_at < runs[i - 1].ended_at else []
        found += (
            ["within the cool-down"]
            if i and run.started_at - runs[i - 1].started_at < params.cooldown * HOUR - 1e-3
            else []
        )
        found += ["more runs than the budget"] if len(week) > params.max_runs_per_week else []
        found += ["more hours than the budget"] if used >= params.max_hours_per_week else []
    return found


@examples(150)
@given(knobs, steps)
def test_oscillating_or_forged_drift_never_storms(params, world):
    assert storms(params, play(params, world)) == []


@pytest.mark.parametrize(
    ("left_out", "storm"),
    [
        ("the cool-down", "within the cool-down"),
        ("one is already", "two at once"),
        ("budget of 4 runs", "more runs than the budget"),
        ("hours are used", "more hours than the budget"),
    ],
)
def test_a_storm_is_seen_when_a_guard_is_taken_out(left_out, storm, monkeypatch):
    calm = {
        "alarm": True,
        "forged": 400,
        "quality": None,
        "data": 0,
        "canary": "off",
        "paused": False,
        "state": State.PROMOTED,
    }
    world = [{**calm, "hours": hours, "takes": takes} for hours, takes in [(1, 3), (2, 3), *[(6, 5)] * 12]]
    params = Retrain(
        cooldown=1 if left_out != "the cool-down" else 24,
        max_runs_per_week=4 if "runs" in left_out else 1000,
        max_hours_per_week=10 if "hours" in left_out else 1000,
    )
    assert storms(params, play(params, world)) == []
    whole = decide._holds
    monkeypatch.setattr(decide, "_holds", lambda *given: (words for words in whole(*given) if left_out not in words))
    assert storm in storms(params, play(params, world))


@examples(60)
@given(steps)
def test_an_alarm_that_goes_on_is_answered_once(world):
    """Drift that does not end, with a gate that refuses and no new labels after the first: one retraining, whatever
    the time.
    """
    world = [
        {
            **step,
            "alarm": True,
            "quality": 0.1,
            "forged": 100 if i == 0 else 0,
            "state": State.REFUSED,
            "data": 0,
            "takes": 0.1,
        }
        for i, step in enumerate(world)
    ]

    def frozen(params: Retrain, facts: RetrainFacts, now: float) -> RetrainDecision:
        return should_retrain(params, replace(facts, labelled=100, labelled_since=0 if facts.past else 100), now)

    assert (
        len(
            play(
                Retrain(cooldown=1, max_runs_per_week=1000, max_hours_per_week=1000, min_quality={"valid": 0.95}),
                world,
                frozen,
            )
        )
        <= 1
    )
