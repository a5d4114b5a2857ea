"""The records: the same on SQLite and on a real PostgreSQL, written behind the answers, and never in their way."""

import getpass
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, event, func, insert, select

from tasks import database
from tasks.database import checks, feedback, requests
from tasks.errors import TransientError
from tasks.serve.gateway import records
from tasks.serve.gateway.metrics import Metrics
from tasks.serve.gateway.records import Writer, forget
from tasks.serve.params import Records
from tests.tasks.gateway import chat, house, wait_for


def row(number: int = 1, **more: object) -> dict:
    """A row as the gateway puts it."""
    return {
        **dict.fromkeys(requests.columns.keys()),
        "id": f"req-{number}",
        "at": time.time(),
        "task": "triage",
        "key_id": "k",
        "status": 200,
        "input": {"body": "hi"},
        "output": "x",
        **more,
    }


def writer(engine: Engine | None, factory: object = None, **params: object) -> Writer:
    """A writer that has started."""
    made = Writer(Records(**params), factory or (lambda: engine), Metrics())
    made.start()
    return made


def count(engine: Engine, table: object = requests) -> int:
    """Rows in a table."""
    with engine.connect() as connection:
        return connection.execute(select(func.count()).select_from(table)).scalar()


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a PostgreSQL of this test's own, on loopback, run by a user who may nothing else (it refuses root)."""
    tools = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not tools:
        assert os.environ.get("ANNEAL_ALL_TESTS") != "1", "PostgreSQL is not installed (apt install postgresql), and ANNEAL_ALL_TESTS=1 asks for it"
        pytest.skip("PostgreSQL is not installed (apt install postgresql)")
    place = Path(tempfile.mkdtemp(prefix="anneal-postgres-"))  # pytest's own folders are closed to other users
    user = pwd.getpwnam("postgres").pw_name if os.getuid() == 0 else getpass.getuser()
    if os.getuid() == 0:
        shutil.chown(place, user)
    as_user = {"user": user, "cwd": place} if os.getuid() == 0 else {"cwd": place}
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    subprocess.run([tools[-1], "-D", place / "data", "-U", "anneal", "--auth=trust", "--no-sync"], check=True, capture_output=True, **as_user)
    options = ["-D", str(place / "data"), "-p", str(port), "-k", str(place), "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]
    server = subprocess.Popen([tools[-1].with_name("postgres"), *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **as_user)
    try:
        url = f"postgresql://anneal@127.0.0.1:{port}/postgres"
        wait_for(lambda: server.poll() is None and _answers(url), "PostgreSQL", 30)
        yield url
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(20)
        shutil.rmtree(place, ignore_errors=True)


def _answers(url: str) -> bool:
    try:
        database.connect(url).dispose()
    except TransientError:
        return False
    return True


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """An empty database of each kind."""
    url = f"sqlite:///{tmp_path}/deep/records.db" if request.param == "sqlite" else request.getfixturevalue("postgres")
    made = database.connect(url)
    yield made
    database.metadata.drop_all(made)
    made.dispose()


def test_rows_come_back_as_they_went_in(engine: Engine) -> None:
    """JSON, big numbers of time, any Unicode; and personal data redacted, NUL and half characters gone, which no database takes."""
    made = writer(engine)
    made.put(row(1, input={"body": "réd 🚨 a@b.com \0 \ud800"}, output="4111 1111 1111 1111", latency=0.25, valid=True))
    made.stop()
    with engine.connect() as connection:
        found = connection.execute(select(requests)).mappings().one()
    assert found["input"] == {"body": "réd 🚨 <EMAIL>  ?"} and found["output"] == "<CARD>"
    assert (found["latency"], found["valid"], found["prompt_tokens"]) == (0.25, True, None)
    assert abs(found["at"] - time.time()) < 10


def test_many_writers_and_readers_lose_nothing(engine: Engine) -> None:
    made = writer(engine)

    def work(start: int) -> None:
        for number in range(start, start + 100):
            made.put(row(number))
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
    """The same id twice stands for whatever a database refuses for good: it is dropped and counted, its neighbours are written."""
    made = writer(engine)
    for number in (1, 2, 1, 3):
        made.put(row(number))
    made.stop()
    assert count(engine) == 3 and made.metrics.dropped._value.get() == 1


def test_old_rows_are_forgotten_in_small_batches(engine: Engine) -> None:
    now = time.time()
    with engine.begin() as connection:
        connection.execute(insert(requests), [row(number, at=now - 100 * number) for number in range(30)])
        connection.execute(insert(feedback), [{"at": now - 100 * number, "request_id": f"req-{number}", "thumb": 1} for number in range(30)])
    batches = []
    event.listen(engine, "commit", lambda connection: batches.append(1))
    assert forget(engine, now - 950, batch=6) == 40
    assert count(engine) == count(engine, feedback) == 10 and len(batches) >= 8


def test_retention_is_honoured_by_the_writer(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(insert(requests), [row(1, at=time.time() - 3 * 86_400), row(2)])
    made = writer(engine, retention_days=2)
    wait_for(lambda: count(engine) == 1, "deletion")
    made.stop()


def test_a_sample_is_a_sample(engine: Engine) -> None:
    made = writer(engine, sample=0.3)
    for number in range(400):
        made.put(row(number))
    made.stop()
    assert 60 < count(engine) < 180 and made.metrics.dropped._value.get() == 0
    none = writer(engine, sample=0)
    none.put(row(1000))
    assert none.find("req-1000") is None
    none.stop()


def test_the_newest_check_is_shown(engine: Engine) -> None:
    check = {"at": 1.0, "task": "triage", "requests": 5, "reasons": [], "report": None}
    with engine.begin() as connection:
        connection.execute(insert(checks), [{**check, "alarm": True, "evidence": {"old": 1.0}, "figures": {}}])
        connection.execute(insert(checks), [{**check, "alarm": False, "evidence": {"words": 2.5}, "figures": {"threshold": 4.0, "note": "text"}}])
    metrics = Metrics()
    metrics.read_checks(engine)
    assert metrics.registry.get_sample_value("anneal_monitor_alarm", {"task": "triage"}) == 0
    assert metrics.registry.get_sample_value("anneal_monitor_evidence", {"task": "triage", "what": "words"}) == 2.5
    assert metrics.registry.get_sample_value("anneal_monitor_evidence", {"task": "triage", "what": "old"}) is None
    assert metrics.registry.get_sample_value("anneal_monitor_figure", {"task": "triage", "name": "threshold"}) == 4


def test_a_database_that_was_away_gets_what_was_kept_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine, away = database.connect(f"sqlite:///{tmp_path}/records.db"), [True]

    def factory() -> Engine:
        if away:
            raise TransientError("the records do not answer: planted.")
        return engine

    made = writer(None, factory)
    for number in range(20):
        made.put(row(number))
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

    made = writer(engine)
    for number in range(30):
        made.put(row(number, output="x" * 5000))
    wait_for(lambda: made._pause > 0, "failure")
    assert count(engine) == 0
    limited.clear()
    wait_for(lambda: count(engine) == 30, "rows")
    made.stop()


def test_what_finds_no_room_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory stays bounded whether the database is away or the thread is stuck in it, and `put` never waits."""
    monkeypatch.setattr(records, "MOST_QUEUED", 50)

    def dead() -> Engine:
        raise TransientError("planted.")

    made = writer(None, dead)
    for number in range(500):
        made.put(row(number))
    wait_for(lambda: made.queue.empty(), "thread")
    made.stop(0.5)
    assert made.metrics.dropped._value.get() == 500 and len(made.recent) <= 50
    stuck = threading.Event()
    held = writer(None, lambda: stuck.wait(10) and dead())
    started = time.monotonic()
    for number in range(500):
        held.put(row(number))
    assert time.monotonic() - started < 0.5 and held.metrics.dropped._value.get() > 300
    stuck.set()
    held.stop(0.5)


def test_a_dead_database_stops_no_answer(tmp_path: Path) -> None:
    """Answers come as before, what needs the records says so with 503, and drops are counted when the gateway ends."""

    def dead() -> Engine:
        raise TransientError("planted.")

    with house(tmp_path, factory=dead) as home, home.client() as client:
        for _ in range(10):
            answer = client.post("/tasks/triage", json={"text": "hi"})
            assert answer.status_code == 200 and answer.elapsed.total_seconds() < 1
        refused = client.post("/feedback", json={"request_id": answer.json()["request_id"], "thumb": "up"})
        assert refused.status_code == 503 and refused.json()["error"]["code"] == "records_unavailable" and "planted" not in refused.text
        wait_for(lambda: home.metric("anneal_records_queue") == 10, "queue of records")
        assert client.get("/health").status_code == 200
    assert home.metric("anneal_records_dropped_total") == 10


def test_the_log_on_stdout_has_no_texts_and_no_keys(tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    with house(tmp_path) as home, home.client() as client:
        client.post("/v1/chat/completions", json=chat("unmistakable prompt"))
        client.get("/unmistakable/path?key=unmistakable")
        client.post("/v1/chat/completions", json=chat() | {"model": "unmistakable"})
        home.rows()
    out = capfd.readouterr()
    assert out.out.count('"status"') == 3 and home.key.split("-")[1] in out.out
    for secret in ("unmistakable", home.key, "restart the hub"):
        assert secret not in out.out + out.err


def test_a_stdout_that_is_full_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*words: object, **more: object) -> None:
        raise OSError(28, "No space left on device")

    engine = database.connect(f"sqlite:///{tmp_path}/records.db")
    monkeypatch.setattr(records, "print", full, raising=False)
    made = writer(engine)
    made.put(row())
    made.stop()
    assert count(engine) == 1


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
        started = time.monotonic()
        assert count(create_engine(engine.url)) == 0 and time.monotonic() - started < 1
