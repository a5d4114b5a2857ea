"""One rule says which correction of a request counts: all who read corrections agree, and a bet is never changed."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.monitor import logged_requests as monitored
from tasks.monitor.logged_requests import Window
from tasks.records import corrections, database
from tasks.retrain import gather, harvest, store
from tasks.serve.reconcile import evidence
from tests.examples import examples
from tests.tasks.corrections import NOW, params, ticket

REQUESTS = ("r0", "r1", "r2")
# What people say, in its order: which request, a correction, none or an empty one.
SAID = st.lists(st.tuples(st.sampled_from(REQUESTS), st.sampled_from(["correction", "thumb", "empty"])), max_size=9)


@given(st.lists(st.tuples(st.sampled_from(REQUESTS), st.integers(1, 99), st.sampled_from([None, {}, {"a": "b"}]))))
def test_the_newest_and_the_first_are_of_the_corrections_only_in_whatever_order_they_come(told: list) -> None:
    told = list({number: (request, number, value) for request, number, value in told}.values())
    real: dict[str, list[int]] = {}
    for request, number, value in told:
        if value:
            real.setdefault(request, []).append(number)
    assert corrections.newest(told) == {request: max(numbers) for request, numbers in real.items()}
    last = {request: max(number for other, number, _ in told if other == request) for request, _, _ in told}
    assert corrections.counted(told) == last | corrections.newest(told)
    assert corrections.first(told) == {request: min(numbers) for request, numbers in real.items()}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    return f"sqlite:///{tmp_path}/records.db"


def write(engine: object, said: list[tuple[str, str]], start: int = 0) -> None:
    """Put in what was said; the n-th word is told by its reply, and all of one second have one time."""
    with engine.begin() as connection:
        for number, (request, kind) in enumerate(said, start):
            value = {"correction": {"category": "billing", "reply": f"reply {number}"}, "empty": {}}.get(kind)
            thumb = 1 if value is None else None
            row = {"id": number + 1, "at": NOW + number // 3, "request_id": request, "key_id": "k", "thumb": thumb}
            connection.execute(database.feedback.insert().values(correction=value, **row))


def fresh(address: str) -> object:
    engine = database.connect(address)
    with engine.begin() as connection:
        connection.execute(database.feedback.delete())
        connection.execute(database.requests.delete())
        for number, request in enumerate(REQUESTS):
            asked = {name: ticket(number)[name] for name in ("subject", "body")}
            about = {"role": "champion", "status": 200, "output": "{}", "version": "3", "artifact": "a"}
            row = {"id": request, "at": NOW, "task": "triage", "input": asked, **about}
            connection.execute(database.requests.insert().values(row))
    return engine


@settings(examples(40), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(SAID)
def test_figures_canary_harvest_and_labels_take_the_same_correction(place: str, said: list[tuple[str, str]]) -> None:
    engine = fresh(place)
    write(engine, said)
    numbers = {request: number for number, (request, kind) in enumerate(said) if kind == "correction"}
    expected = {request: f"reply {number}" for request, number in numbers.items()}
    shown = monitored.labelled(engine, "triage", "a", NOW + 99, 50)
    assert {row["id"]: row["correction"]["reply"] for row in shown} == expected
    seen = evidence._feedback(engine, "triage", NOW)
    assert {request: row["correction"]["reply"] for request, row in seen.items() if row["correction"]} == expected
    assert {*seen} == {request for request, _ in said}
    dataset = params().datasets["tickets"]
    rows = [{"id": f"t{seed}", **ticket(seed)} for seed in (8, 9)]
    rules = harvest._rules(dataset, ["category"], rows, 1.0)
    candidates, skipped = harvest._candidates(store.corrections(engine, "triage"), dataset, rules, rows)
    assert {one.request: one.row["reply"] for one in candidates} == expected and skipped == []
    labelled = gather.labelled(engine, "triage", "tickets", dataset.templates)
    assert labelled == {request: NOW + number // 3 for request, number in numbers.items()}
    engine.dispose()


@settings(examples(40), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(SAID, SAID)
def test_the_monitor_bets_on_the_first_once_whatever_is_said_later(place: str, early: list, late: list) -> None:
    engine = fresh(place)
    write(engine, early)
    before = monitored.new_labels(engine, "triage", "a", Window(), NOW + 99)
    write(engine, late, len(early))
    after = monitored.new_labels(engine, "triage", "a", before.window, NOW + 99)
    bets = [(row["request_id"], row["correction"]["reply"]) for row in (*before.rows, *after.rows)]
    firsts: dict[str, str] = {}
    for number, (request, kind) in enumerate([*early, *late]):
        if kind == "correction":
            firsts.setdefault(request, f"reply {number}")
    assert sorted(bets) == sorted(firsts.items())
    engine.dispose()
