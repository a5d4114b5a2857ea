"""Reads new requests and corrections from the records, each exactly once, even when rows arrive late."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from sqlalchemy import ColumnElement, Connection, Engine, RowMapping, and_, select

from tasks.monitor.reference import digest
from tasks.records import corrections
from tasks.records.database import feedback, requests
from tasks.records.database_rows import CorrectedRequest, LoggedAnswer, LoggedRequest

LATE = 900.0  # seconds that a row may be written after a newer one; later ones are not waited for
# The columns that determine the kind of a request, and its answer.
REQUEST_COLUMNS = (
    requests.c.input,
    requests.c.path,
    requests.c.finish_reason,
    requests.c.output,
    requests.c.probabilities,
)
# requests scored in one check; of more, those with the smallest hashes of their ids, whatever they say
MOST = 5000

Id = TypeVar("Id", str, int)
Row = TypeVar("Row", bound=LoggedAnswer)


@dataclass(frozen=True)
class Window:
    """The time up to which rows have been read, and the ids read of the last LATE seconds."""

    newest: float = 0.0
    seen: dict[str, float] = field(default_factory=dict)  # id: time

    @property
    def since(self) -> float:
        """The time up to which all rows have been read."""
        return self.newest - LATE

    def fresh(self, rows: Iterable[tuple[Id, float]]) -> list[Id]:
        """Return the ids among `rows` (id, at) that have not been read, oldest first."""
        return [
            key
            for key, at in sorted(rows, key=lambda row: (row[1], str(row[0])))
            if at > self.since and str(key) not in self.seen
        ]

    def take(self, rows: Iterable[tuple[str | int, float]]) -> "Window":
        """Return the window after all of `rows` (id, at) have been read."""
        seen = self.seen | {str(key): at for key, at in rows}
        newest = max([self.newest, *seen.values()])
        return Window(newest, {key: at for key, at in seen.items() if at > newest - LATE})


@dataclass(frozen=True)
class NewRows(Generic[Row]):
    """New rows, oldest first, and the window after them. `count` may be more than the rows: see MOST."""

    rows: list[Row]
    count: int
    window: Window


def _answered_by(task: str, artifact: str) -> ColumnElement[bool]:
    return and_(
        requests.c.task == task,
        requests.c.artifact == artifact,
        requests.c.role.in_(("champion", "canary", "pinned")),
        requests.c.shadow_of.is_(None),
    )


def new_requests(engine: Engine, task: str, artifact: str, window: Window, now: float) -> NewRows[LoggedRequest]:
    """Return the requests up to `now` that the version `artifact` answered itself (no copies) and `window` has not
    read.
    """
    query = select(requests.c.id, requests.c.at).where(
        _answered_by(task, artifact), requests.c.at > window.since, requests.c.at <= now
    )
    with engine.connect() as connection:
        listed = [(str(key), float(at)) for key, at in connection.execute(query)]
        fresh = window.fresh(listed)
        chosen = set(sorted(fresh, key=digest)[:MOST])
        order = [key for key in fresh if key in chosen]
        rows = {
            row["id"]: row
            for start in range(0, len(order), 500)
            for row in _read(connection, order[start : start + 500])
        }
    return NewRows([rows[key] for key in order], len(fresh), window.take(listed))


def _read(connection: Connection, ids: list[str]) -> list[LoggedRequest]:
    return [_plain(row._mapping) for row in connection.execute(select(requests).where(requests.c.id.in_(ids)))]


def _plain(row: RowMapping) -> Any:  # of the columns that its query names: SQLAlchemy knows no type of them
    """Return a row whose input is a mapping or None, whatever was logged."""
    logged = row["input"]
    if isinstance(logged, str):
        try:
            logged = json.loads(logged)
        except ValueError:
            logged = None
    return {**row, "input": logged if isinstance(logged, dict) else None}


def new_labels(engine: Engine, task: str, artifact: str, window: Window, now: float) -> NewRows[CorrectedRequest]:
    """Return corrections {id, at, correction, *REQUEST_COLUMNS} of the version's answers up to `now` that `window` has
    not read. Each request counts once, by its first correction.
    """
    joined = feedback.join(requests, feedback.c.request_id == requests.c.id)
    query = select(
        feedback.c.id, feedback.c.at, feedback.c.request_id, feedback.c.correction, *REQUEST_COLUMNS
    ).select_from(joined)
    query = query.where(_answered_by(task, artifact), feedback.c.at > window.since, feedback.c.at <= now)
    with engine.connect() as connection:
        listed = [row._mapping for row in connection.execute(query)]
        fresh = set(window.fresh((int(row["id"]), float(row["at"])) for row in listed))
        corrected = [
            row
            for row in listed
            if row["id"] in fresh and corrections.is_correction(row["correction"]) and row["output"] is not None
        ]
        corrections_of_requests = select(feedback.c.request_id, feedback.c.id, feedback.c.correction).where(
            feedback.c.request_id.in_({row["request_id"] for row in corrected})
        )
        first = corrections.first(
            (request, key, value) for request, key, value in connection.execute(corrections_of_requests)
        )
    rows = [
        _plain(row)
        for row in sorted(corrected, key=lambda row: (row["at"], row["id"]))
        if first[row["request_id"]] == row["id"]
    ]
    return NewRows(rows, len(rows), window.take((row["id"], row["at"]) for row in listed))


def latest(engine: Engine, task: str, artifact: str, now: float, limit: int) -> list[LoggedRequest]:
    """Return the version's newest `limit` requests, oldest first."""
    query = (
        select(requests)
        .where(_answered_by(task, artifact), requests.c.at <= now)
        .order_by(requests.c.at.desc(), requests.c.id)
        .limit(limit)
    )
    with engine.connect() as connection:
        return [_plain(row._mapping) for row in connection.execute(query)][::-1]


def labelled(engine: Engine, task: str, artifact: str, now: float, limit: int) -> list[CorrectedRequest]:
    """Return {id, correction, *REQUEST_COLUMNS} of the newest `limit` corrected requests, by their newest
    correction.
    """
    joined = feedback.join(requests, feedback.c.request_id == requests.c.id)
    query = (
        select(requests.c.id, feedback.c.id.label("number"), feedback.c.correction, *REQUEST_COLUMNS)
        .select_from(joined)
        .where(_answered_by(task, artifact), feedback.c.at <= now)
    )
    with engine.connect() as connection:
        rows = [row._mapping for row in connection.execute(query.order_by(feedback.c.id.desc()).limit(4 * limit))]
    newest = corrections.newest((row["id"], row["number"], row["correction"]) for row in rows)
    return [_plain(row) for row in rows if newest.get(row["id"]) == row["number"] and row["output"] is not None][:limit]
