"""`make rollback` beside a running reconciler: the reconciler does it, and the command tells what came of it."""

import os
import threading
import time
from pathlib import Path

import pytest

from tasks.errors import AnnealError, TransientError
from tasks.records.database import CommandState
from tasks.serve.reconcile import records


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ANNEAL_DATABASE_URL", raising=False)
    records.ALIVE.parent.mkdir(parents=True)
    return tmp_path


def carry_out(state: CommandState, result: str) -> threading.Thread:
    """A reconciler that claims the next command and closes it as `state` with `result`."""

    def work() -> None:
        engine = records.connect()
        while not (asked := records.open_commands(engine)):
            time.sleep(0.02)
        records.claim(engine, asked[0]["id"])
        time.sleep(0.3)
        records.close_command(engine, asked[0]["id"], state, result)
        engine.dispose()

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_a_command_waits_for_its_end_and_not_only_for_its_claim(place: Path) -> None:
    thread = carry_out(CommandState.DONE, "version 2 was rolled back to version 1")
    assert records.ask("things", "rollback", 30) == "version 2 was rolled back to version 1"
    thread.join()


def test_a_refusal_is_the_commands_own_sentence(place: Path) -> None:
    thread = carry_out(CommandState.REFUSED, "things has no @previous version to roll back to.")
    with pytest.raises(AnnealError, match=r"^things has no @previous version to roll back to\.$"):
        records.ask("things", "rollback", 30)
    thread.join()


def test_a_reconciler_that_does_not_answer_is_named(place: Path) -> None:
    with pytest.raises(AnnealError, match=r"the reconciler has not carried out the rollback of things within 0 s"):
        records.ask("things", "rollback", 0.2)


def test_only_a_fresh_sign_of_life_counts(place: Path) -> None:
    assert not records.is_reconciler_running()
    records.ALIVE.touch()
    assert records.is_reconciler_running()
    os.utime(records.ALIVE, (time.time() - 60, time.time() - 60))
    assert not records.is_reconciler_running()


def test_many_may_open_new_records_at_once(place: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    from tasks.records import database

    start = threading.Barrier(8)

    def connect(_: int) -> int:
        start.wait()
        engine = database.connect()
        engine.dispose()
        return 1

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(connect, range(8))) == 8


def test_records_that_another_program_is_making_are_waited_for(place: Path) -> None:
    """SQLite answers a switch to WAL with "database is locked" at once, whatever its timeout, while another writes."""
    import sqlite3

    from tasks.records import database

    other = sqlite3.connect(database.STORE, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    end = threading.Timer(0.3, lambda: other.execute("COMMIT"))
    end.start()
    database.connect().dispose()
    end.join()
    other.close()


def test_records_that_another_program_does_not_let_go_are_refused(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sqlite3

    from tasks.records import database, sqlite

    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.2)
    other = sqlite3.connect(database.STORE, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(TransientError, match=r"^the records at sqlite:///\.anneal/records\.db do not answer"):
        database.connect()
    other.close()


def test_records_of_an_earlier_version_get_the_column_that_says_what_became_of_a_command(place: Path) -> None:
    import sqlite3

    from tasks.records import database

    database.connect().dispose()
    with sqlite3.connect(database.STORE) as old:
        old.execute("ALTER TABLE commands DROP COLUMN state")
        old.execute("INSERT INTO commands (at, task, action) VALUES (1.0, 'things', 'rollback')")
    engine = records.connect()
    [command] = records.open_commands(engine)
    records.close_command(engine, command["id"], CommandState.DONE, "it was done")
    with engine.connect() as connection:
        row = connection.execute(database.commands.select()).one()
    engine.dispose()
    assert (row.state, row.result) == ("done", "it was done")
