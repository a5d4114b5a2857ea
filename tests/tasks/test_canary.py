"""A canary is judged by the coin that the gateway threw: an equal version is seldom taken back, a worse one soon,
and the marks say why.
"""

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import binom

from tasks import database, registry
from tasks.errors import AnnealError
from tasks.files import write_text
from tasks.serve import routes
from tasks.serve.canary import Counts, judge, wealth
from tasks.serve.reconcile import acts, once
from tasks.serve.reconcile.loop import Reconciler
from tests.house.project import ROOT
from tests.tasks import serving
from tests.tasks.promoting import promote
from tests.tasks.serving import TASK, World

PORT = 19110
RIGHT = '{"category": "billing", "intent": "x", "priority": "low", "reply": "r"}'


def decide(failures: dict[str, tuple[int, int]], answers: int = 100, hours: float = 1.0, mode: str = "share") -> str:
    return judge(Counts(answers, 4 * answers, failures), mode, 0.2, 0.05, 500, hours, 72).what


@pytest.mark.parametrize(("x", "n", "share"), [(0, 0, 0.2), (3, 3, 0.2), (2, 9, 0.2), (5, 8, 0.5), (0, 30, 0.01)])
def test_the_wealth_is_the_integral_that_it_is_said_to_be(x: int, n: int, share: float) -> None:
    value, _ = quad(lambda q: (q / share) ** x * ((1 - q) / (1 - share)) ** (n - x), share, 1)
    assert wealth(x, n, share) == pytest.approx(value / (1 - share), rel=1e-6)


@given(st.integers(0, 60), st.sampled_from([0.01, 0.2, 0.5, 0.9]))
def test_the_wealth_is_one_on_average_when_the_versions_are_equal(n: int, share: float) -> None:
    x = np.arange(n + 1)
    assert float(np.sum(binom.pmf(x, n, share) * wealth(x, n, share))) == pytest.approx(1.0, rel=1e-6)


@given(st.integers(0, 300), st.integers(0, 300))
def test_the_next_failure_makes_a_fair_bet(x: int, more: int) -> None:
    n, share = x + more, 0.2
    expected = share * wealth(x + 1, n + 1, share) + (1 - share) * wealth(x, n + 1, share)
    assert float(expected) == pytest.approx(float(wealth(x, n, share)), rel=1e-6, abs=1e-12)


def test_looking_after_every_failure_an_equal_version_is_called_worse_no_more_often_than_promised() -> None:
    coins = np.random.default_rng(0).random((4000, 300)) < 0.2
    paths = wealth(np.cumsum(coins, 1), np.arange(1, 301), 0.2)
    assert (paths.max(1) >= 20).mean() <= 0.05
    planted = np.random.default_rng(0).random((4000, 300)) < 0.4  # a version that fails 2.7 times as often
    assert (wealth(np.cumsum(planted, 1), np.arange(1, 301), 0.2).max(1) >= 20).mean() > 0.99


def test_verdicts() -> None:
    assert decide({}) == "continue" and decide({"invalid": (4, 20)}) == "continue"
    assert decide({"invalid": (5, 5)}) == "roll_back"
    assert decide({"error": (0, 50)}) == "continue"  # it is the champion that fails
    assert decide({"invalid": (20, 100)}, answers=500) == "promote"
    assert decide({}, hours=72) == "call_off"
    assert (
        decide({"invalid": (9, 9)}, mode="shadow") == "roll_back"
        and decide({"invalid": (5, 5)}, mode="shadow") == "continue"
    )


def test_the_reasons_say_what_was_counted() -> None:
    found = judge(Counts(100, 400, {"invalid": (9, 12), "slow": (1, 5)}), "share", 0.2, 0.05, 500, 1, 72)
    assert found.reasons == (
        "more answers that are not valid: 9 of 100 on the challenger, 3 of 400 on the champion; of 12 it should have "
        "had 2",
    )
    assert found.facts["failures"] == {"invalid": [9, 12], "slow": [1, 5]} and found.facts["line"] == 20


@pytest.fixture
def world(store: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Version 1 answers and version 2 is on trial."""
    with serving.world(tmp_path, monkeypatch, PORT) as made:
        promote(made.version("one"))
        made.version("two")
        made.serve("a")
        acts.open_canary(registry.get(TASK, "2"), made.params.release)
        once(made.params)
        yield made


@pytest.fixture
def reconciler(world: World) -> Iterator[Reconciler]:
    """The loop's body, one turn at a time, judging at every turn."""
    write_text(Path("params.yaml"), (ROOT / "params.yaml").read_text())
    made = Reconciler(Path("params.yaml"))
    made.params, made.mark = world.params, Path("params.yaml").stat().st_mtime_ns
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
    version = registry.get(TASK, "2")
    assert (version.tags["canary"], version.tags["rolled_back"]) == ("rolled_back", "true")
    assert "8 of 100 on the challenger, 0 of 400 on the champion" in version.tags["canary_reasons"]
    assert decisions()[1:] == [("canary", "opened"), ("canary", "rolled_back")]
    task = routes.read().tasks[TASK]
    assert (
        task.canary == "off" and task.targets["champion"].version == "1" and registry.aliases(TASK)["champion"] == "1"
    )
    assert reconciler.said == {}


def test_an_equal_version_takes_over_after_enough_answers(world: World, reconciler: Reconciler) -> None:
    requests(1900, 100, role="champion", artifact="hash-of-one")
    requests(474, 25, role="canary", artifact="hash-of-two")
    reconciler.turn()
    assert registry.get(TASK, "2").tags["canary"] == "open"
    requests(1, 0, role="canary", artifact="hash-of-two", id="the last one")
    reconciler.turn()
    assert (
        registry.aliases(TASK) == {"champion": "2", "previous": "1"}
        and routes.read().tasks[TASK].targets["champion"].version == "2"
    )
    assert decisions()[-1] == ("canary", "promoted") and registry.get(TASK, "2").tags["canary"] == "promoted"


def test_a_canary_without_traffic_is_called_off_and_another_challenger_closes_it(
    world: World, reconciler: Reconciler
) -> None:
    registry.tag(registry.get(TASK, "2"), canary_since=str(time.time() - 73 * 3600))
    reconciler.turn()
    assert registry.get(TASK, "2").tags["canary"] == "undecided" and routes.read().tasks[TASK].canary == "off"
    acts.open_canary(registry.get(TASK, "2"), world.params.release)
    world.version("three")
    reconciler.turn()
    assert registry.get(TASK, "2").tags["canary"] == "superseded" and decisions()[-1] == ("canary", "superseded")


def test_a_version_that_the_gate_refused_does_not_end_an_open_canary(world: World) -> None:
    assert world.version("three", gate="refused").version == "3"
    assert registry.aliases(TASK) == {"champion": "1", "challenger": "2"}


def test_copies_are_compared_with_their_originals(world: World, reconciler: Reconciler) -> None:
    registry.tag(registry.get(TASK, "2"), canary_mode="shadow")
    for i in range(12):
        requests(1, 0, role="champion", artifact="hash-of-one", id=f"first-{i}")
        requests(0, 1, role="shadow", artifact="hash-of-two", id=f"copy-{i}", shadow_of=f"first-{i}", latency=99.0)
    reconciler.turn()
    assert (
        registry.get(TASK, "2").tags["canary"] == "rolled_back"
        and "12 of 12 times" in registry.get(TASK, "2").tags["canary_reasons"]
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
        registry.get(TASK, "2").tags["canary"] == "rolled_back"
        and registry.aliases(TASK)["champion"] == "1"
        and "taken back by key ann" in results()[0]
    )


def test_without_registry_or_records_the_last_table_stays_and_it_is_said_once(
    world: World, reconciler: Reconciler, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
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
        "records: in order again",
        "registry: in order again",
    ]
