"""A command from the dashboard is carried out once and answered, whatever dies or stumbles on the way."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, select

from tasks import params as shipped
from tasks.errors import TransientError
from tasks.records import database, decisions
from tasks.records.decisions import Decision
from tasks.serve.reconcile import records, step
from tasks.serve.reconcile.loop import Reconciler
from tasks.versions import promotion, tracking
from tasks.versions.verdict_tags import COMPARED
from tests.examples import examples
from tests.house.project import ROOT
from tests.tasks.promoting import finish
from tests.tasks.registry_double import NAME, Double, Fault, Killed

PASSED = {"artifact_sha256": "hash", "parity": "1.0", "base_sha256": "b", "gate": "passed", COMPARED: "2"}
Answers = list[tuple[str | None, str | None]]
READ = shipped.load(ROOT / "params.yaml")
PARAMS = READ.model_copy(update={"models": {NAME: READ.models["triage"]}})


class Office:
    """A registry in memory with champion 2, challenger 3 and @previous 1, records of their own, and what kills."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.patch = patch
        self.double = Double(
            aliases={"champion": "2", "previous": "1", "challenger": "3"},
            versions={number: dict(PASSED) for number in "123"},
        )
        self.engine = records.connect()
        with self.engine.begin() as connection:
            for table in (database.commands, database.decisions):
                connection.execute(table.delete())
        self.kill: set[str] = set()  # before or after the writes to the records that have these names
        patch.setattr(tracking, "client", lambda: self.double)
        patch.setattr(step, "once", lambda *given: None)
        patch.setattr(promotion.log, "disabled", True)
        for owner, name in ((records, "claim"), (records, "close_command"), (decisions, "write")):
            patch.setattr(owner, name, self._killing(getattr(owner, name), name))

    def _killing(self, real, name: str):
        def call(*given: object) -> None:
            if f"before {name}" in self.kill:
                raise Killed
            real(*given)
            if f"after {name}" in self.kill:
                raise Killed

        return call

    def ask(self, *actions: str) -> None:
        with self.engine.begin() as connection:
            for action in actions:
                row = {"at": time.time(), "task": NAME, "action": action, "key_id": "k"}
                connection.execute(database.commands.insert().values(row))

    def turn(self, faults: list[Fault] | None = None, kill: str | None = None) -> Reconciler:
        """A reconciler that starts, turns once and may die of `faults` or of `kill`."""
        made = Reconciler(ROOT / "params.yaml")
        made.params, made.mark = PARAMS, (ROOT / "params.yaml").stat().st_mtime_ns
        made.engine, made.judged = self.engine, float("inf")
        self.double.faults, self.kill = None if faults is None else iter(faults), {kill} - {None}
        with contextlib.suppress(Killed):
            made._records()
        self.double.faults, self.kill = None, set()
        return made

    def answers(self) -> Answers:
        with self.engine.connect() as connection:
            rows = connection.execute(select(database.commands).order_by(database.commands.c.id)).all()
        assert all((row.done_at is None) == (row.state in (None, "claimed")) for row in rows)
        return [(row.state, row.result) for row in rows]

    def told(self) -> list[tuple[str, int]]:
        """What was decided, with the place of its command."""
        with self.engine.connect() as connection:
            rows = connection.execute(select(database.decisions).order_by(database.decisions.c.id)).all()
            first = connection.execute(select(database.commands.c.id).order_by(database.commands.c.id)).scalar()
        return [(row.kind, row.facts["command"] - (first or 0)) for row in rows]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ANNEAL_DATABASE_URL", f"sqlite:///{tmp_path}/records.db")
    return tmp_path


@contextlib.contextmanager
def office() -> Iterator[Office]:
    with pytest.MonkeyPatch.context() as patch:
        made = Office(patch)
        yield made
        made.engine.dispose()


WRITES = [f"{when} {name}" for name in ("claim", "write", "close_command") for when in ("before", "after")]


@pytest.mark.parametrize("kill", WRITES)
@pytest.mark.parametrize(
    ("action", "aliases", "words"),
    [
        ("promote", {"champion": "3", "previous": "2"}, "version 3 was promoted by key k"),
        ("rollback", {"champion": "1", "challenger": "2"}, "version 2 was rolled back to version 1 by key k"),
    ],
)
def test_what_a_killed_reconciler_had_claimed_is_finished_by_the_next_exactly_once(
    place: Path, action: str, aliases: dict, words: str, kill: str
) -> None:
    with office() as made:
        made.ask(action)
        made.turn(kill=kill)
        for _ in range(2):
            made.turn()
            assert made.answers() == [("done", words)] and made.double.aliases == aliases
            assert made.told() == [("promote" if action == "promote" else "rollback", 0)]


def test_a_kill_between_claim_and_act_leaves_the_command_open_and_seen_as_being_carried_out(place: Path) -> None:
    with office() as made:
        made.ask("rollback")
        made.turn(kill="after claim")
        assert made.answers() == [("claimed", "being carried out")] and made.double.aliases["champion"] == "2"
        assert [command["state"] for command in records.open_commands(made.engine)] == ["claimed"]


def test_a_promotion_that_was_done_is_not_done_again_with_the_next_challenger(place: Path) -> None:
    with office() as made:
        made.ask("promote")
        made.turn(kill="before close_command")
        made.double.versions["4"] = {**PASSED, COMPARED: "3"}
        made.double.aliases["challenger"] = "4"
        made.turn()
        assert made.double.aliases == {"champion": "3", "previous": "2", "challenger": "4"}
        assert made.answers() == [("done", "version 3 was promoted by key k")]


def test_a_rollback_whose_decision_is_owed_is_not_done_again(place: Path) -> None:
    with office() as made:
        made.ask("rollback")
        real = decisions.write

        def away(decision: Decision) -> None:
            raise TransientError("the records do not answer.")

        made.patch.setattr(decisions, "write", away)
        made.turn(kill="before close_command")
        made.double.aliases["previous"] = "3"  # something that a second rollback would go to
        made.turn()
        assert made.answers() == [("done", "version 2 was rolled back to version 1 by key k")]
        made.patch.setattr(decisions, "write", real)
        finish()
        assert made.told() == [("rollback", 0)] and made.double.aliases["champion"] == "1"


FAULTS = st.lists(st.sampled_from([*[Fault.NONE] * 6, *Fault]), max_size=14)
LIVES = st.lists(st.tuples(FAULTS, st.none() | st.sampled_from(WRITES)), max_size=3)


@settings(examples(30), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(["promote", "rollback"]), min_size=1, max_size=3), LIVES)
def test_whatever_dies_or_stumbles_the_commands_come_to_what_they_come_to_without(
    place: Path, actions: list[str], lives: list[tuple[list[Fault], str | None]]
) -> None:
    with office() as made:
        made.ask(*actions)
        made.turn()
        expected = (made.answers(), made.double.aliases, made.told())
    with office() as made:
        made.ask(*actions)
        for faults, kill in lives:
            made.turn(faults, kill)
        made.turn()
        assert (made.answers(), made.double.aliases, made.told()) == expected
        assert made.double.tags == {}


def test_one_tasks_trouble_holds_up_only_its_own_commands_and_in_their_order(place: Path) -> None:
    with office() as made:
        made.ask("promote", "rollback")
        with made.engine.begin() as connection:
            row = {"at": 1.0, "task": "unknown", "action": "promote", "key_id": "k"}
            connection.execute(database.commands.insert().values(row))
        reconciler = made.turn([Fault.BEFORE])
        assert [state for state, _ in made.answers()] == ["claimed", None, "refused"]
        assert list(reconciler.complaints) == [f"commands of {NAME}"]


@pytest.mark.parametrize("was_done", [True, False])
def test_a_claim_of_an_earlier_version_is_answered_and_not_carried_out_so_late(place: Path, was_done: bool) -> None:
    with office() as made:
        made.ask("rollback")
        if was_done:
            made.turn()
        with made.engine.begin() as connection:
            old = {"state": "claimed", "result": "being carried out", "done_at": 1.0}
            connection.execute(database.commands.update().values(old))
        before = dict(made.double.aliases)
        made.turn()
        ((state, words),) = made.answers()
        assert made.double.aliases == before and records.open_commands(made.engine) == []
        if was_done:
            assert (state, words) == ("done", "version 2 was rolled back to version 1 by key k")
        else:
            assert state == "refused" and "ask again if it is still wanted" in words


@pytest.mark.slow
def test_the_decision_of_a_command_is_found_in_records_of_both_kinds(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANNEAL_DATABASE_URL", engine.url.render_as_string(hide_password=False))
    for number, facts in enumerate([{}, {"command": None}, {"command": 7, "version": "2"}, {"command": 8}]):
        decisions.write(Decision(NAME, "promote", "promoted", ("words",), facts, float(number)))
    decision = decisions.of_command(NAME, 7)
    assert decision == Decision(NAME, "promote", "promoted", ("words",), {"command": 7, "version": "2"}, 2.0)
    assert decisions.of_command(NAME, 9) is None and decisions.of_command("others", 7) is None
