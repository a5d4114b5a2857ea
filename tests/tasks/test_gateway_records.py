"""Nothing that happens to the records stops an answer: dead databases, full disks, full queues; what is lost is
counted.
"""

import threading
from pathlib import Path

import pytest
from sqlalchemy import Engine, event

from tasks.errors import TransientError
from tasks.records import database
from tasks.serve.gateway import writer
from tests.tasks.gateway import chat, count, record, running_gateway, started_writer, wait_for

pytestmark = pytest.mark.slow  # each test starts servers or processes


def test_a_database_that_was_away_gets_what_was_kept_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine, away = database.connect(f"sqlite:///{tmp_path}/records.db"), [True]

    def factory() -> Engine:
        if away:
            raise TransientError("the records do not answer: planted.")
        return engine

    made = started_writer(None, factory)
    for number in range(20):
        made.put(record(number))
    wait_for(lambda: made._pause > 0, "failure")
    with pytest.raises(TransientError):
        made.find("req-99")
    assert made.find("req-3") == ("triage", "k")
    away.clear()
    wait_for(lambda: count(engine) == 20, "rows")
    assert made.metrics.dropped._value.get() == 0
    made.stop()


def test_a_full_disk_is_waited_out(tmp_path: Path) -> None:
    """SQLite's own words for it, planted under SQLAlchemy: a limit on the pages of the file."""
    engine = database.connect(f"sqlite:///{tmp_path}/records.db")
    limited = [True]

    @event.listens_for(engine, "begin")
    def limit(connection: object) -> None:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages if limited else 1_000_000}")

    made = started_writer(engine)
    for number in range(30):
        made.put(record(number, output="x" * 5000))
    wait_for(lambda: made._pause > 0, "failure")
    assert count(engine) == 0
    limited.clear()
    wait_for(lambda: count(engine) == 30, "rows")
    made.stop()


def test_what_finds_no_room_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory stays bounded whether the database is away or the thread is stuck in it, and `put` never waits."""
    monkeypatch.setattr(writer, "MOST_QUEUED", 50)

    def dead() -> Engine:
        raise TransientError("planted.")

    made = started_writer(None, dead)
    for number in range(500):
        made.put(record(number))
    wait_for(lambda: made.queue.empty(), "thread")
    made.stop(0.5)
    assert made.metrics.dropped._value.get() == 500 and len(made.recent) <= 50
    answered, waits = threading.Event(), []
    held = started_writer(None, lambda: waits.append(answered.wait(30)) or dead())
    for number in range(500):
        held.put(record(number))
    assert waits == [] and held.metrics.dropped._value.get() > 300
    answered.set()
    held.stop(0.5)


def test_a_dead_database_stops_no_answer(tmp_path: Path) -> None:
    """Answers come as before, what needs the records says so with 503, and drops are counted when the gateway ends."""

    def dead() -> Engine:
        raise TransientError("planted.")

    with running_gateway(tmp_path, factory=dead) as gateway, gateway.client() as client:
        for _ in range(10):
            answer = client.post("/tasks/triage", json={"text": "hi"})
            assert answer.status_code == 200 and answer.elapsed.total_seconds() < 1
        refused = client.post("/feedback", json={"request_id": answer.json()["request_id"], "thumb": "up"})
        assert (
            refused.status_code == 503
            and refused.json()["error"]["code"] == "records_unavailable"
            and "planted" not in refused.text
        )
        wait_for(lambda: gateway.metric("anneal_records_queue") == 10, "queue of records")
        assert client.get("/health").status_code == 200
    assert gateway.metric("anneal_records_dropped_total") == 10


def test_the_log_on_stdout_has_no_texts_and_no_keys(tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    with running_gateway(tmp_path) as gateway, gateway.client() as client:
        client.post("/v1/chat/completions", json=chat("unmistakable prompt"))
        client.get("/unmistakable/path?key=unmistakable")
        client.post("/v1/chat/completions", json=chat() | {"model": "unmistakable"})
        gateway.rows()
    out = capfd.readouterr()
    assert out.out.count('"status"') == 3 and gateway.key.split("-")[1] in out.out
    for secret in ("unmistakable", gateway.key, "restart the hub"):
        assert secret not in out.out + out.err


def test_a_stdout_that_is_full_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*words: object, **more: object) -> None:
        raise OSError(28, "No space left on device")

    engine = database.connect(f"sqlite:///{tmp_path}/records.db")
    monkeypatch.setattr(writer, "print", full, raising=False)
    made = started_writer(engine)
    made.put(record())
    made.stop()
    assert count(engine) == 1
