"""`make rollback` beside a running reconciler: the reconciler does it, and the command tells what came of it."""

import os
import threading
import time
from pathlib import Path

import pytest

from tasks.errors import AnnealError
from tasks.serve.reconcile import records


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ANNEAL_DATABASE_URL", raising=False)
    records.ALIVE.parent.mkdir(parents=True)
    return tmp_path


def carry_out(result: str) -> threading.Thread:
    """A reconciler that claims the next command and closes it with `result`."""

    def work() -> None:
        engine = records.connect()
        while not (asked := records.open_commands(engine)):
            time.sleep(0.02)
        records.close_command(engine, asked[0]["id"], records.CLAIMED)
        time.sleep(0.3)
        records.close_command(engine, asked[0]["id"], result)
        engine.dispose()

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_a_command_waits_for_its_end_and_not_only_for_its_claim(place: Path) -> None:
    thread = carry_out("version 2 was rolled back to version 1")
    assert records.ask("things", "rollback", 30) == "version 2 was rolled back to version 1"
    thread.join()


def test_a_refusal_is_the_commands_own_sentence(place: Path) -> None:
    thread = carry_out(f"{records.REFUSED}things has no @previous version to roll back to.")
    with pytest.raises(AnnealError, match=r"^things has no @previous version to roll back to\.$"):
        records.ask("things", "rollback", 30)
    thread.join()


def test_a_reconciler_that_does_not_answer_is_named(place: Path) -> None:
    with pytest.raises(AnnealError, match=r"the reconciler has not carried out the rollback of things within 0 s"):
        records.ask("things", "rollback", 0.2)


def test_only_a_fresh_sign_of_life_counts(place: Path) -> None:
    assert not records.is_watched()
    records.ALIVE.touch()
    assert records.is_watched()
    os.utime(records.ALIVE, (time.time() - 60, time.time() - 60))
    assert not records.is_watched()


def test_many_may_open_new_records_at_once(place: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    from tasks import database

    start = threading.Barrier(8)

    def connect(_: int) -> int:
        start.wait()
        engine = database.connect()
        engine.dispose()
        return 1

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(connect, range(8))) == 8
