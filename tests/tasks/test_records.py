"""The records: the same on SQLite and on a real PostgreSQL, written behind the answers, and never in their way."""

import socket
import threading
import time
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, event, insert, select

from tasks.errors import TransientError
from tasks.records import database
from tasks.records.database import checks, feedback, requests
from tasks.serve.gateway.metrics import Metrics
from tasks.serve.gateway.writer import forget
from tests.tasks.gateway import count, record, row, started_writer, wait_for

pytestmark = pytest.mark.slow  # a PostgreSQL server is started


@pytest.mark.slow
def test_rows_come_back_as_they_went_in(engine: Engine) -> None:
    """JSON, big numbers of time, any Unicode; and personal data redacted, NUL and half characters gone, which no
    database takes.
    """
    made = started_writer(engine)
    made.put(
        record(1, input={"body": "réd 🚨 a@b.com \0 \ud800"}, output="4111 1111 1111 1111", latency=0.25, valid=True)
    )
    made.stop()
    with engine.connect() as connection:
        kept = connection.execute(select(requests)).mappings().one()
    assert kept["input"] == {"body": "réd 🚨 <EMAIL>  \ufffd"} and kept["output"] == "<CARD>"
    assert (kept["latency"], kept["valid"], kept["prompt_tokens"]) == (0.25, True, None)
    assert abs(kept["at"] - time.time()) < 10


def test_many_writers_and_readers_lose_nothing(engine: Engine) -> None:
    made = started_writer(engine)

    def work(start: int) -> None:
        for number in range(start, start + 100):
            made.put(record(number))
            if number % 25 == 0:
                count(engine)

    threads = [threading.Thread(target=work, args=(100 * place,)) for place in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    made.stop()
    assert count(engine) == 400 and made.metrics.dropped._value.get() == 0 and not made.recent


def test_an_impossible_row_takes_no_other_with_it(engine: Engine) -> None:
    """The same id twice stands for whatever a database refuses for good: it is dropped and counted, its neighbours
    are written.
    """
    made = started_writer(engine)
    for number in (1, 2, 1, 3):
        made.put(record(number))
    made.stop()
    assert count(engine) == 3 and made.metrics.dropped._value.get() == 1


def test_old_rows_are_forgotten_in_small_batches(engine: Engine) -> None:
    now = time.time()
    with engine.begin() as connection:
        connection.execute(insert(requests), [row(number, at=now - 100 * number) for number in range(30)])
        connection.execute(
            insert(feedback),
            [{"at": now - 100 * number, "request_id": f"req-{number}", "thumb": 1} for number in range(30)],
        )
    batches = []
    event.listen(engine, "commit", lambda connection: batches.append(1))
    assert forget(engine, now - 950, batch=6) == 40
    assert count(engine) == count(engine, feedback) == 10 and len(batches) >= 8


def test_retention_is_honoured_by_the_writer(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(insert(requests), [row(1, at=time.time() - 3 * 86_400), row(2)])
    made = started_writer(engine, retention_days=2)
    wait_for(lambda: count(engine) == 1, "deletion")
    made.stop()


def test_a_sample_is_a_sample(engine: Engine) -> None:
    made = started_writer(engine, sample=0.3)
    for number in range(400):
        made.put(record(number))
    made.stop()
    assert 60 < count(engine) < 180 and made.metrics.dropped._value.get() == 0
    none = started_writer(engine, sample=0)
    none.put(record(1000))
    assert none.find("req-1000") is None
    none.stop()


def test_the_newest_check_is_shown(engine: Engine) -> None:
    check = {"at": 1.0, "task": "triage", "requests": 5, "reasons": [], "report": None}
    with engine.begin() as connection:
        connection.execute(insert(checks), [{**check, "alarm": True, "evidence": {"old": 1.0}, "figures": {}}])
        connection.execute(
            insert(checks),
            [{**check, "alarm": False, "evidence": {"words": 2.5}, "figures": {"threshold": 4.0, "note": "text"}}],
        )
    metrics = Metrics()
    metrics.read_checks(engine)
    assert metrics.registry.get_sample_value("anneal_monitor_alarm", {"task": "triage"}) == 0
    assert metrics.registry.get_sample_value("anneal_monitor_evidence", {"task": "triage", "what": "words"}) == 2.5
    assert metrics.registry.get_sample_value("anneal_monitor_evidence", {"task": "triage", "what": "old"}) is None
    assert metrics.registry.get_sample_value("anneal_monitor_figure", {"task": "triage", "name": "threshold"}) == 4
    assert metrics.registry.get_sample_value("anneal_monitor_figure", {"task": "triage", "name": "checked_at"}) == 1


@pytest.mark.slow
def test_a_dead_postgres_is_said_in_one_sentence_and_without_its_password() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(TransientError) as error:
        database.connect(f"postgresql://me:hunter2@127.0.0.1:{port}/x")
    assert "hunter2" not in str(error.value)


def test_a_reader_never_waits_for_the_writer(tmp_path: Path) -> None:
    """WAL: while a transaction is open, others read what was there before."""
    engine = database.connect(f"sqlite:///{tmp_path}/records.db")
    with engine.begin() as connection:
        connection.execute(insert(requests), [row()])
        assert count(create_engine(engine.url)) == 0  # one that waited would be told "database is locked"
