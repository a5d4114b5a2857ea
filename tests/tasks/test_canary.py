"""A canary is taken back, promoted or called off by itself or by command, and the marks say why."""

import logging
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.errors import AnnealError
from tasks.files import write_text
from tasks.records import database
from tasks.serve import routes
from tasks.serve.reconcile import canaries
from tasks.serve.reconcile.loop import Reconciler
from tasks.serve.reconcile.step import once
from tasks.versions import registry
from tests.house.project import ROOT
from tests.tasks import serving
from tests.tasks.promoting import under_lock, version_of
from tests.tasks.serving import TASK, World

PORT = 19110
RIGHT = '{"category": "billing", "intent": "x", "priority": "low", "reply": "r"}'


@pytest.fixture
def world(store: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Version 1 answers and version 2 is on trial."""
    with serving.world(tmp_path, monkeypatch, PORT) as made:
        serving.begin(made, serving.champion_and_challenger)
        made.serve("a")
        under_lock(canaries.open_canary, "2", made.params.release)
        once(made.params)
        yield made


@pytest.fixture
def reconciler(world: World) -> Iterator[Reconciler]:
    """The loop's body, one turn at a time, judging at every turn."""
    write_text(Path("params.yaml"), (ROOT / "params.yaml").read_text())
    made = Reconciler(Path("params.yaml"))
    made.params, made.mtime = world.params, Path("params.yaml").stat().st_mtime_ns
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tasks.serve.reconcile.loop.JUDGE_EVERY", 0.0)
        yield made
    if made.engine is not None:
        made.engine.dispose()


def requests(good: int, bad: int, **facts: object) -> None:
    """Put requests into the records, `bad` of them with an invalid answer."""
    engine = database.connect()
    base = {"task": TASK, "at": time.time() + 1, "status": 200, "latency": 1.0, "output": RIGHT}
    rows = [
        {"id": f"{facts['role']}-{facts['artifact']}-{i}", **base, "valid": i >= bad, **facts}
        for i in range(good + bad)
    ]
    with engine.begin() as connection:
        connection.execute(database.requests.insert(), rows)
    engine.dispose()


def decisions() -> list[tuple]:
    engine = database.connect()
    with engine.connect() as connection:
        found = [
            tuple(row)
            for row in connection.execute(
                database.decisions.select().with_only_columns(database.decisions.c.kind, database.decisions.c.verdict)
            )
        ]
    engine.dispose()
    return found


def test_a_bad_version_is_taken_back_by_itself_with_its_reasons_and_the_champion_was_never_touched(
    world: World, reconciler: Reconciler
) -> None:
    requests(400, 0, role="champion", artifact="hash-of-one")
    requests(92, 8, role="canary", artifact="hash-of-two")
    requests(0, 50, role="pinned", artifact="hash-of-one")  # asked for by name: no coin was thrown
    reconciler.turn()
    version = version_of("2")
    assert (version.tags["canary"], version.tags["rolled_back"]) == ("rolled_back", "true")
    assert "8 of 100 on the challenger, 0 of 400 on the champion" in version.tags["canary_reasons"]
    assert decisions()[1:] == [("canary", "opened"), ("canary", "rolled_back")]
    task = routes.read().tasks[TASK]
    assert (
        task.canary == "off"
        and task.targets["champion"].version == "1"
        and registry.read(TASK).aliases["champion"] == "1"
    )
    assert reconciler.complaints == {}


def test_an_equal_version_takes_over_after_enough_answers(world: World, reconciler: Reconciler) -> None:
    requests(1900, 100, role="champion", artifact="hash-of-one")
    requests(474, 25, role="canary", artifact="hash-of-two")
    reconciler.turn()
    assert version_of("2").tags["canary"] == "open"
    requests(1, 0, role="canary", artifact="hash-of-two", id="the last one")
    reconciler.turn()
    assert (
        registry.read(TASK).aliases == {"champion": "2", "previous": "1"}
        and routes.read().tasks[TASK].targets["champion"].version == "2"
    )
    assert decisions()[-1] == ("canary", "promoted") and version_of("2").tags["canary"] == "promoted"


def test_a_canary_without_traffic_is_called_off_and_another_challenger_closes_it(
    world: World, reconciler: Reconciler
) -> None:
    registry.tag(version_of("2"), canary_since=str(time.time() - 73 * 3600))
    reconciler.turn()
    assert version_of("2").tags["canary"] == "undecided" and routes.read().tasks[TASK].canary == "off"
    under_lock(canaries.open_canary, "2", world.params.release)
    world.version("three")
    reconciler.turn()
    assert version_of("2").tags["canary"] == "superseded" and decisions()[-1] == (
        "canary",
        "superseded",
    )


def test_a_version_that_the_gate_refused_does_not_end_an_open_canary(world: World) -> None:
    assert world.version("three", gate="refused").version == "3"
    assert registry.read(TASK).aliases == {"champion": "1", "challenger": "2"}


def test_copies_are_compared_with_their_originals(world: World, reconciler: Reconciler) -> None:
    registry.tag(version_of("2"), canary_mode="shadow")
    for i in range(12):
        requests(1, 0, role="champion", artifact="hash-of-one", id=f"first-{i}")
        requests(0, 1, role="shadow", artifact="hash-of-two", id=f"copy-{i}", shadow_of=f"first-{i}", latency=99.0)
    reconciler.turn()
    assert (
        version_of("2").tags["canary"] == "rolled_back" and "12 of 12 times" in version_of("2").tags["canary_reasons"]
    )


def command(action: str, **facts: object) -> None:
    engine = database.connect()
    with engine.begin() as connection:
        connection.execute(
            database.commands.insert().values(at=time.time(), task=TASK, action=action, key_id="ann", **facts)
        )
    engine.dispose()


def results() -> list[str]:
    engine = database.connect()
    with engine.connect() as connection:
        found = [row.result for row in connection.execute(database.commands.select()) if row.done_at]
    engine.dispose()
    return found


def test_commands_of_the_dashboard_are_carried_out_once_and_answered(world: World, reconciler: Reconciler) -> None:
    command("promote")
    reconciler.turn()
    assert routes.read().tasks[TASK].targets["champion"].version == "2"
    command("rollback")
    command("rollback")
    reconciler.turn()
    assert (
        results()[0] == "version 2 was promoted by key ann"
        and results()[1] == "version 2 was rolled back to version 1 by key ann"
    )
    assert results()[2].startswith("things has no @previous")
    assert routes.read().tasks[TASK].targets["champion"].version == "1" and decisions()[2:] == [
        ("promote", "promoted"),
        ("rollback", "rolled_back"),
    ]
    reconciler.turn()
    assert len(results()) == 3


def test_a_rollback_during_a_canary_ends_the_canary(world: World, reconciler: Reconciler) -> None:
    command("rollback")
    reconciler.turn()
    assert (
        version_of("2").tags["canary"] == "rolled_back"
        and registry.read(TASK).aliases["champion"] == "1"
        and "rolled back by key ann" in results()[0]
    )


def test_without_registry_or_records_the_last_table_stays_and_it_is_said_once(
    world: World, reconciler: Reconciler, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "anneal.reconcile")
    before = routes.read()
    with monkeypatch.context() as patch:
        patch.setenv("ANNEAL_DATABASE_URL", "postgresql://nobody:s3cret@127.0.0.1:9/none")
        patch.setattr(
            reconciler.reader, "read", lambda names: (_ for _ in ()).throw(AnnealError("MLflow does not answer"))
        )
        for _ in range(3):
            reconciler.turn()
    assert routes.read() == before and [record.message.split(":")[0] for record in caplog.records] == [
        "records",
        "registry",
    ]
    assert "s3cret" not in caplog.text
    caplog.clear()
    reconciler.turn()
    assert sorted(record.message for record in caplog.records) == [
        "records: recovered",
        "registry: recovered",
    ]
