"""A check counts each request and each correction once, also when it is killed; a shift raises an alarm that stands,
and nothing raises none.
"""

import random
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Engine, select

from tasks.files import read_json
from tasks.monitor import check_page, checks_table, evidently_page, state
from tasks.monitor.check import check
from tasks.monitor.check_page import plot
from tasks.monitor.checks_table import MonitorCheck
from tasks.monitor.params import Monitor
from tasks.records import database
from tasks.serve.routes import Target
from tests.tasks.monitored import ARTIFACT, HOUR, START, ask, correct, ticket, vectors, version

PARAMS = Monitor(report_rows=60, permutations=99)


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """An empty database; Evidently and the plot, which take most of the time, stay out."""
    monkeypatch.setattr(evidently_page, "write", lambda *_: None)
    monkeypatch.setattr(check_page, "plot", lambda *_: "")
    return database.connect(f"sqlite:///{tmp_path}/records.db")


@pytest.fixture
def target(tmp_path: Path) -> Target:
    """Version 1 with its reference."""
    return version(tmp_path / "kept")


@pytest.fixture
def look(engine: Engine, target: Target, tmp_path: Path) -> Callable[..., MonitorCheck]:
    """A check so many hours after the start."""
    return lambda hours, of=None: check(
        engine, "sort", of or target, PARAMS, START + hours * HOUR, vectors, tmp_path / "monitor", tmp_path / "reports"
    )


def tickets(count: int, seed: object, **how: object) -> list[dict]:
    """So many tickets."""
    dice = random.Random(str(seed))
    return [ticket(dice, **how) for _ in range(count)]


def rows(engine: Engine) -> list:
    """The rows of `checks`."""
    with engine.connect() as connection:
        return connection.execute(select(database.checks).order_by(database.checks.c.id)).all()


def test_traffic_like_the_reference_raises_no_alarm(engine: Engine, look: Callable[..., MonitorCheck]) -> None:
    for hour in range(6):
        ids = ask(engine, tickets(50, hour), START + hour * HOUR, f"h{hour}-")
        correct(engine, ids[:10], tickets(50, hour)[:10], START + hour * HOUR + 100)
        found = look(hour + 0.5)
        assert (found.alarm, found.reasons, found.requests) == (False, (), 50)
    assert max(found.evidence.values()) < found.figures["threshold"]
    assert found.figures["valid_n"] == found.figures["latest"]
    assert found.figures["kind_accuracy_n"] == 60 and found.figures["kind_accuracy"] > 0.8


def test_new_words_raise_an_alarm_that_stands_and_says_why(
    engine: Engine, look: Callable[..., MonitorCheck], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check_page, "plot", plot)
    ask(engine, tickets(60, "before"), START, "a")
    assert not look(1).alarm
    ask(engine, tickets(60, "after", new=0.4), START + HOUR, "b")
    first, second = look(2), look(3)
    assert first.alarm and any(
        reason.startswith("the vocabulary of requests has changed: evidence 10^") for reason in first.reasons
    )
    assert second.alarm and second.requests == 0 and "stands until another version serves" in second.reasons[-1]
    page = Path(first.report).read_text(encoding="utf-8")
    assert "Something has changed" in page and "<svg" in page


@pytest.mark.parametrize(
    ("how", "changes", "group"),
    [
        ({"kind": "lamp"}, {}, "kind of answers"),
        ({}, {"output": "no JSON"}, "validity of answers"),
        ({}, {"input": {"text": " "}}, "missing fields"),
        ({"new": 0.5}, {}, "topics of requests"),
    ],
)
def test_each_kind_of_shift_is_named(
    engine: Engine, look: Callable[..., MonitorCheck], how: dict, changes: dict, group: str
) -> None:
    ask(engine, tickets(150, "shift", **how), START, "s", **changes)
    found = look(1)
    assert found.alarm and found.evidence[group] > found.figures["threshold"], found.evidence


def test_late_corrections_show_that_answers_have_become_wrong(
    engine: Engine, look: Callable[..., MonitorCheck], tmp_path: Path
) -> None:
    large = version(
        tmp_path / "large", rows=650
    )  # 130 answers in the evaluation: of fewer, no number of corrections is evidence enough
    asked = tickets(150, "wrong")
    ids = ask(engine, asked, START, "w", right=0.1)
    assert look(1, large).evidence["accuracy of kind"] == 0
    correct(engine, ids, asked, START + 2 * HOUR)
    found = look(3, large)
    assert found.alarm and any(
        reason.startswith("the accuracy of kind has changed") and "corrected answers" in reason
        for reason in found.reasons
    )


def test_each_request_counts_once_also_a_late_one(engine: Engine, look: Callable[..., MonitorCheck]) -> None:
    ask(engine, tickets(30, 1), START + 100, "a")
    assert [look(1).requests, look(1.1).requests] == [30, 0]
    ask(engine, tickets(3, 2), START + 110, "late")  # written after newer ones were seen
    assert [look(2).requests, look(2.1).requests] == [3, 0]


def test_copies_other_versions_and_other_tasks_do_not_count(engine: Engine, look: Callable[..., MonitorCheck]) -> None:
    for prefix, changes in (
        ("a", {"role": "shadow"}),
        ("b", {"shadow_of": "x"}),
        ("c", {"artifact": "cd" * 32}),
        ("d", {"task": "other"}),
    ):
        ask(engine, tickets(5, prefix), START, prefix, **changes)
    ask(engine, tickets(5, "e"), START, "e", role="pinned")
    ask(engine, tickets(5, "f"), START, "f", role="canary")
    assert look(1).requests == 10


def test_the_order_of_checks_does_not_matter_to_the_pool(
    engine: Engine, look: Callable[..., MonitorCheck], target: Target, tmp_path: Path
) -> None:
    ask(engine, tickets(40, 1), START, "a")
    look(0.001), look(0.006), look(1)
    many = read_json(state.state_folder(tmp_path / "monitor", "sort", ARTIFACT) / "state.json")["counts"]
    check(engine, "sort", target, PARAMS, START + HOUR, vectors, tmp_path / "again", tmp_path / "reports")
    assert read_json(state.state_folder(tmp_path / "again", "sort", ARTIFACT) / "state.json")["counts"] == many


KILLED = """
    import os, sys
    from pathlib import Path
    from tasks.records import database
    from tasks.monitor import check as checking, evidently_page, state
    from tests.tasks.monitored import START, HOUR, vectors, version
    from tests.tasks.test_monitor_check import PARAMS
    folder, where = Path(sys.argv[1]), sys.argv[2]
    evidently_page.write = lambda *_: None
    save = state.save
    def killed_before(*_): os.kill(os.getpid(), 9)
    def killed_after(*values): save(*values); os.kill(os.getpid(), 9)
    state.save = {"before": killed_before, "after": killed_after}[where]
    engine = database.connect(f"sqlite:///{folder}/records.db")
    checking.check(
        engine, "sort", version(folder / "kept"), PARAMS, START + HOUR, vectors, folder / "monitor", folder / "reports"
    )
"""


@pytest.mark.parametrize("where", ["before", "after"])
@pytest.mark.slow
def test_a_check_killed_around_its_state_loses_and_doubles_nothing(
    engine: Engine, look: Callable[..., MonitorCheck], tmp_path: Path, where: str
) -> None:
    ask(engine, tickets(40, 1), START, "a")
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(KILLED), str(tmp_path), where], capture_output=True, text=True
    )
    assert done.returncode == -9 and rows(engine) == [], done.stderr
    found = look(2)
    assert [row.requests for row in rows(engine)] == ([40] if where == "before" else [40, 0]) and found.requests == (
        40 if where == "before" else 0
    )
    counts = read_json(state.state_folder(tmp_path / "monitor", "sort", ARTIFACT) / "state.json")["counts"]
    untouched = check(
        engine,
        "sort",
        version(tmp_path / "kept"),
        PARAMS,
        START + HOUR,
        vectors,
        tmp_path / "unbroken",
        tmp_path / "reports",
    )
    assert (
        untouched.requests == 40
        and read_json(state.state_folder(tmp_path / "unbroken", "sort", ARTIFACT) / "state.json")["counts"] == counts
    )


def test_a_version_that_answers_an_alarm_takes_its_own_traffic_for_normal(
    engine: Engine, look: Callable[..., MonitorCheck], tmp_path: Path
) -> None:
    ask(engine, tickets(100, "new", new=0.4), START, "a")
    assert look(1).alarm
    second = version(tmp_path / "second", artifact="cd" * 32, number="2")
    ask(engine, tickets(100, "newer", new=0.4), START + 2 * HOUR, "b", artifact="cd" * 32)
    found = look(3, second)
    assert not found.alarm and found.figures[checks_table.FRESH] == 1
    ask(engine, tickets(100, "newest"), START + 4 * HOUR, "c", artifact="cd" * 32, right=0.0, output="no JSON")
    assert look(5, second).alarm
    third = version(tmp_path / "third", artifact="ef" * 32, number="3")
    assert look(6, third).figures[checks_table.FRESH] == 1


def test_a_version_without_a_reference_says_so(
    engine: Engine, look: Callable[..., MonitorCheck], target: Target
) -> None:
    (Path(target.folder) / "reference/rows.jsonl").unlink()
    found = look(1)
    assert not found.alarm and "registered without its reference" in found.reasons[0] and len(rows(engine)) == 1


def test_odd_rows_stop_nothing(engine: Engine, look: Callable[..., MonitorCheck]) -> None:
    dialogue = {"messages": [{"role": "system", "content": "x"}, {"role": "user", "content": "where is my lamp"}]}
    for prefix, changes in (
        ("a", {"input": None}),
        ("b", {"output": None, "status": 502}),
        ("c", {"input": {}}),
        ("d", {"input": dialogue}),
        ("e", {"output": "[" * 5000}),
        ("f", {"latency": None}),
    ):
        ask(engine, tickets(3, prefix), START, prefix, **changes)
    ask(
        engine,
        tickets(3, "g"),
        START,
        "g",
        input={"messages": [{"role": "user", "content": [{"type": "image_url"}]}, "x"]},
    )
    assert look(1).requests == 21
