"""Writes the request log in the background: a thread with a bounded queue, so that a full disk or a dead database
never delays an answer.
"""

import json
import queue
import random
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from sqlalchemy import Engine, delete, insert, select
from sqlalchemy.exc import DataError, IntegrityError, ProgrammingError, SQLAlchemyError

from tasks.errors import AnnealError
from tasks.records.database import feedback, requests
from tasks.serve.gateway import log
from tasks.serve.gateway.metrics import Metrics
from tasks.serve.gateway.record import Record
from tasks.serve.params import Records
from tasks.texts.clean import encodable
from tasks.texts.redaction import redact_all
from tasks.texts.redaction.answers import redact_answer
from tasks.texts.redaction.nested import mapped

DAY = 86_400.0
MOST_QUEUED = 10_000  # records in memory, before the thread and behind it
BATCH = 200  # rows of one transaction
CHORES_EVERY = 10.0  # seconds between looks at the checks
FORGET_EVERY = 600.0  # seconds between deletions
TROUBLE = (SQLAlchemyError, AnnealError, OSError)
UNLOGGED = ("input", "output", "probabilities", "artifact", "template_sha256")
Row = dict[str, object]  # of database.requests


class Asker(NamedTuple):
    """The task and the key of a request."""

    task: str
    key_id: str | None


class Queued(NamedTuple):
    """A record to be written, and whether the database gets it."""

    record: Record
    is_kept: bool


class RecordWriter:
    """The thread. `put` never blocks and never fails; a record that finds no room is counted as dropped."""

    def __init__(self, params: Records, engine_factory: Callable[[], Engine], metrics: Metrics) -> None:
        self.params, self.factory, self.metrics = params, engine_factory, metrics
        self.connected: Engine | None = None
        self.queue: queue.Queue[Queued | None] = queue.Queue(MOST_QUEUED)
        self.waiting: deque[Row] = deque()  # redacted, to be written
        self.recent: dict[str, Asker] = {}  # by the id of a request that is not yet written
        self.thread = threading.Thread(target=self._run, name="records", daemon=True)
        self._connecting = threading.Lock()
        self._next_try = self._pause = self._next_chores = self._next_forget = 0.0
        metrics.queue.set_function(lambda: self.queue.qsize() + len(self.waiting))

    def start(self) -> None:
        """Begin to write."""
        self.thread.start()

    def put(self, record: Record) -> None:
        """Take a record. All become lines of the log; the database gets a sample of those that have a task."""
        is_kept = record.task is not None and random.random() < self.params.sample
        if record.task is not None and is_kept:
            self.recent[record.id] = Asker(record.task, record.key_id)
        try:
            self.queue.put_nowait(Queued(record, is_kept))
        except queue.Full:
            self._drop(record.id)

    def stop(self, patience: float = 5.0) -> None:
        """Write what is left, for `patience` seconds at most; what is not written then is counted as dropped."""
        try:
            self.queue.put(None, timeout=patience)
        except queue.Full:
            self.metrics.dropped.inc(self.queue.qsize())
        if self.thread.is_alive():
            self.thread.join(patience)
        self.metrics.dropped.inc(len(self.waiting))

    def engine(self) -> Engine:
        """The records; connects when that has not worked before, and raises one of TROUBLE when it still does not."""
        with self._connecting:
            if self.connected is None:
                self.connected = self.factory()
            return self.connected

    def find(self, request_id: str) -> Asker | None:
        """The task and key of a request that was kept; raises one of TROUBLE if the database is away."""
        if known := self.recent.get(request_id):
            return known
        with self.engine().connect() as connection:
            row = connection.execute(
                select(requests.c.task, requests.c.key_id).where(
                    requests.c.id == request_id, requests.c.shadow_of.is_(None)
                )
            ).first()
        return Asker(row[0], row[1]) if row else None

    def _run(self) -> None:
        going = True
        while going:
            taken = self._take()
            going = None not in taken
            for entry in taken:
                if entry is not None:
                    self._prepare(entry)
            self._flush(last=not going)
            self._chores()

    def _take(self) -> list[Queued | None]:
        """The next records, at most BATCH, after a short wait for the first: rows are cheaper in batches."""
        try:
            taken = [self.queue.get(timeout=0.2)]
        except queue.Empty:
            return []
        while len(taken) < BATCH and taken[-1] is not None:
            try:
                taken.append(self.queue.get_nowait())
            except queue.Empty:
                break
        return taken

    def _prepare(self, entry: Queued) -> None:
        """Write the line of the log, and queue the redacted row when it is to be kept."""
        try:
            print(line_of(entry.record), flush=True)
        except (OSError, ValueError):  # stdout is full or closed: the database matters more
            self.metrics.dropped.inc()
        if not entry.is_kept:
            return
        if len(self.waiting) >= MOST_QUEUED:
            self._drop(str(self.waiting.popleft()["id"]))
        self.waiting.append(row_of(entry.record))

    def _flush(self, last: bool) -> None:
        """Write what waits; after a failure, not again before a pause that doubles up to half a minute."""
        if not last and time.monotonic() < self._next_try:
            return
        while self.waiting:
            batch = [self.waiting[i] for i in range(min(BATCH, len(self.waiting)))]
            try:
                self._insert(batch)
            except TROUBLE as error:
                self._pause = min(30.0, max(0.5, 2 * self._pause))
                self._next_try = time.monotonic() + self._pause
                self._log(
                    f"{len(self.waiting)} records wait: the database does not take them ({type(error).__name__}); "
                    f"next try in {self._pause:g} s"
                )
                return
            self._pause = 0.0
            for row in batch:
                self.waiting.popleft()
                self.recent.pop(str(row["id"]), None)

    def _insert(self, rows: list[Row]) -> None:
        """Insert in one transaction; if the database rejects a row, in one for each row, and that row is dropped."""
        try:
            with self.engine().begin() as connection:
                connection.execute(insert(requests), rows)
        except (IntegrityError, DataError, ProgrammingError):
            if len(rows) == 1:
                self.metrics.dropped.inc()
                self._log(f"the database refuses the record {rows[0]['id']}")
                return
            for row in rows:
                self._insert([row])

    def _drop(self, request_id: str) -> None:
        self.recent.pop(request_id, None)
        self.metrics.dropped.inc()

    def _chores(self) -> None:
        now = time.monotonic()
        if now < self._next_chores or self._pause:
            return
        self._next_chores = now + CHORES_EVERY
        try:
            self.metrics.read_checks(self.engine())
            if now >= self._next_forget:
                self._next_forget = now + FORGET_EVERY
                forget(self.engine(), time.time() - self.params.retention_days * DAY)
        except TROUBLE as error:
            self._log(f"the records do not answer ({type(error).__name__})")

    def _log(self, message: str) -> None:
        try:
            log.error("records", message)
        except (OSError, ValueError):
            self.metrics.dropped.inc()


def line_of(record: Record) -> str:
    """The line of the log: the record without its texts."""
    shown = {name: value for name, value in vars(record).items() if name not in UNLOGGED and value is not None}
    return json.dumps({name: round(value, 6) if isinstance(value, float) else value for name, value in shown.items()})


def row_of(record: Record) -> Row:
    """The row of the database: the record without personal data and characters that databases refuse."""
    return {
        **vars(record),
        "input": storable(redact_all(record.input)),
        "output": storable(redact_answer(record.output)),
        "probabilities": storable(record.probabilities),
    }


def forget(engine: Engine, before: float, batch: int = 500, most: int = 100) -> int:
    """Delete requests and feedback from before that time, `batch` rows a transaction so that nobody waits long;
    returns how many.
    """
    deleted = 0
    for table in (requests, feedback):
        for _ in range(most):
            old = select(table.c.id).where(table.c.at < before).limit(batch)
            with engine.begin() as connection:
                count = connection.execute(delete(table).where(table.c.id.in_(old))).rowcount
            deleted += count
            if count < batch:
                break
    return deleted


def storable(value: object) -> object:
    """`value` without what databases refuse: NUL, and halves of characters."""
    return mapped(value, lambda leaf: storable_text(leaf) if isinstance(leaf, str) else leaf, storable_text)


def storable_text(text: str) -> str:
    """`text` without NUL and halves of characters."""
    return encodable(text.replace("\0", ""))
