"""A gateway on a free port, in front of a stub, for the tests of both."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import uvicorn
from fastapi import FastAPI
from sqlalchemy import Engine, func, select

from tasks.files import write_json
from tasks.records import database
from tasks.records.database import requests
from tasks.serve import routes
from tasks.serve.gateway import keys
from tasks.serve.gateway.app import create_app
from tasks.serve.gateway.limits import AdmissionQueue
from tasks.serve.gateway.metrics import Metrics
from tasks.serve.gateway.record import Record
from tasks.serve.gateway.state import GatewayState
from tasks.serve.gateway.writer import RecordWriter
from tasks.serve.params import Gateway, Records
from tests.stub_vllm import Stub, running

SYSTEM, USER = "You triage tickets.", "Subject: {{ subject }}\n\n{{ body }}"
COLUMNS = ["category", "intent", "priority", "reply"]
CLASSES = {"category": ["billing", "technical"], "intent": ["device_offline", "refund"], "priority": ["high", "normal"]}


def write_folder(folder: Path, **form: object) -> Path:
    """The kept copy of a version, without its weights."""
    write_json(folder / "format.json", {"system": SYSTEM, "user": USER, "answer": COLUMNS, **form})
    write_json(folder / "artifact.json", {"artifact_sha256": "a" * 64, "template_sha256": "b" * 64})
    write_json(folder / "reference" / "classes.json", CLASSES)
    return folder


@dataclass
class RunningGateway:
    """A gateway with the stub and the records behind it."""

    url: str
    app: FastAPI
    stub: Stub
    folder: Path
    key: str
    engine: Engine

    @property
    def state(self) -> GatewayState:
        """The state of the application."""
        return self.app.state.gateway

    @property
    def queue(self) -> AdmissionQueue:
        """The requests at the servers, and those that wait."""
        return self.state.backend.queue

    def client(self, **more: object) -> httpx.Client:
        """A client that sends the gateway's key."""
        return httpx.Client(base_url=self.url, headers={"Authorization": f"Bearer {self.key}"}, timeout=10, **more)

    def metric(self, name: str, **labels: str) -> float | None:
        """A metric's value now."""
        return self.state.metrics.registry.get_sample_value(name, labels)

    def rows(self, table: str = "requests", least: int = 1) -> list[dict]:
        """Rows of the records, once there are `least`."""
        source = database.metadata.tables[table]
        return wait_for(lambda: self._rows(source, least), f"{least} rows of {table}")

    def _rows(self, source: object, least: int) -> list[dict]:
        with self.engine.connect() as connection:
            rows = [dict(row) for row in connection.execute(select(source).order_by(source.c.at)).mappings()]
        return rows if len(rows) >= least else []

    def route(self, table: routes.Table) -> None:
        """Write a routing table and wait until it is followed."""
        routes.write(table, self.folder / "routes.json")
        wait_for(lambda: self.state.follower.table.revision == table.revision, "the new table")


def wait_for(condition: Callable[[], object], what: str, seconds: float = 60.0) -> object:
    """The value of `condition()` once it is true. The end of the wait only keeps a test from hanging: what it waits for
    comes at once, or, on a machine with much else to do, later.
    """
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, f"no {what} within {seconds} s"
        time.sleep(0.01)
    return value


def target(url: str, folder: Path, version: str = "1") -> routes.Target:
    """A version of triage."""
    return routes.Target(version, version * 64, f"triage@{version}", url, str(folder))


@contextmanager
def serving(app: FastAPI) -> Iterator[str]:
    """Serve `app` from a thread; yields its URL."""
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            host="127.0.0.1",
            port=0,
            log_level="critical",
            loop="uvloop",
            http="httptools",
            timeout_graceful_shutdown=2,
        )
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    wait_for(lambda: server.started or not thread.is_alive(), "server")
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)
        assert not thread.is_alive()


@contextmanager
def running_gateway(
    folder: Path,
    stub: Stub | None = None,
    factory: Callable[[], Engine] | None = None,
    records: Records | None = None,
    **gateway: object,
) -> Iterator[RunningGateway]:
    """A gateway with triage@1 as champion and triage@2 as challenger without traffic; `gateway` are fields of its
    section.
    """
    stub = stub or Stub(adapters={"triage@1": "", "triage@2": ""})
    settings = Gateway(**{"requests_per_minute": 100_000, "timeout": 5, **gateway})
    key = keys.create("tests", admin=True, path=folder / "keys.json")
    engine = database.connect(f"sqlite:///{folder / 'records.db'}")
    with running(stub) as url:
        kept = write_folder(folder / "kept")
        first, second = target(url, kept), target(url, kept, "2")
        routes.write(
            routes.Table(1, {"triage": routes.Task({"champion": first, "challenger": second})}), folder / "routes.json"
        )
        keys_path = folder / "keys.json"
        app = create_app(settings, records or Records(), factory or (lambda: engine), folder / "routes.json", keys_path)
        with serving(app) as address:
            yield RunningGateway(address, app, stub, folder, key, engine)
    engine.dispose()


def with_canary(table: routes.Table, canary: str, share: float = 0.0) -> routes.Table:
    """`table` with the canary of triage opened, one revision on."""
    return routes.Table(table.revision + 1, {"triage": replace(table.tasks["triage"], canary=canary, share=share)})


def chat(text: str = "hello", **more: object) -> dict:
    """The body of a chat request."""
    return {"model": "triage", "messages": [{"role": "user", "content": text}], **more}


def events(text: str) -> list[dict]:
    """The events of a stream but for [DONE]."""
    return [json.loads(line.removeprefix("data: ")) for line in text.split("\n\n") if line.startswith("data: {")]


def refused(answer: httpx.Response, status: int, code: str | None = None) -> dict:
    """The error of a refusal in OpenAI's format."""
    assert answer.status_code == status, answer.text
    assert set(answer.json()) == {"error"}
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
    assert "Traceback" not in answer.text and "/site-packages/" not in answer.text
    assert code is None or answer.json()["error"]["code"] == code
    return answer.json()["error"]


def record(number: int = 1, **more: object) -> Record:
    """A record as the gateway puts it."""
    usual = {"task": "triage", "key_id": "k", "status": 200, "input": {"body": "hi"}, "output": "x"}
    return Record(**{"id": f"req-{number}", "at": time.time(), **usual, **more})


def row(number: int = 1, **more: object) -> dict[str, object]:
    """A row of the database."""
    return dict(vars(record(number, **more)))


def started_writer(engine: Engine | None, factory: object = None, **params: object) -> RecordWriter:
    """A writer that has started."""
    made = RecordWriter(Records(**params), factory or (lambda: engine), Metrics())
    made.start()
    return made


def count(engine: Engine, table: object = requests) -> int:
    """Rows in a table."""
    with engine.connect() as connection:
        return connection.execute(select(func.count()).select_from(table)).scalar()
