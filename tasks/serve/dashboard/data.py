"""What the page shows, as plain values: the routing table, the curves, the last checks, decisions and retrainings.
No texts of requests, no keys.
"""

import threading
import time
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, func, select
from sqlalchemy.exc import SQLAlchemyError

from tasks import contract, paths
from tasks.contract import Contract
from tasks.database import checks, commands, decisions, requests, retrainings
from tasks.errors import AnnealError
from tasks.retrain.pause import is_paused
from tasks.serve import routes
from tasks.serve.dashboard import curves
from tasks.serve.dashboard.settings import Settings

# seconds after which nothing is added to what is over: the longest answer, and a queue of records behind a slow
# database
LATE = 900
MOST_DECISIONS, MOST_RETRAININGS, MOST_COMMANDS = 30, 8, 5
WITHOUT_RECORDS = (
    "The records do not answer ({}), so this page has no curves and no decisions; requests are served "
    "all the same. Start the database, or correct ANNEAL_DATABASE_URL."
)


class Reader:
    """Reads the records for the page; curves are kept for as long as their window lets them be old, and made by one
    thread at a time.
    """

    def __init__(self) -> None:
        self._made: dict[
            tuple, tuple[float, int, tuple]
        ] = {}  # (good until, traffic before this is over, (traffic, agreement))
        self._locks = {name: threading.Lock() for name in curves.WINDOWS}

    def page(self, engine: Engine | None, table: routes.Table, settings: Settings, window: curves.Window) -> dict:
        """All that the page shows for `window`; with the sentence under `problem` when the records do not answer."""
        now = time.time()
        start = now - window.length
        overview = {
            "at": now,
            "window": window.name,
            "since": start,
            "bucket": window.bucket,
            "revision": table.revision,
            "problem": None,
            "retrain_every": settings.retrain.consider_every * 60,
        }
        if engine is None:
            return {
                **overview,
                "problem": WITHOUT_RECORDS.format("not connected"),
                "tasks": {name: _routing(table, name) for name in table.tasks},
            }
        try:
            with engine.connect() as connection:
                traffic, agreed = self._curves(connection, table, window, now)
                names = [*table.tasks, *(name for name in _decided(connection) if name not in table.tasks)]
                tasks = {name: _task(connection, table, settings, name, window, start) for name in names}
        except SQLAlchemyError as error:
            return {
                **overview,
                "problem": WITHOUT_RECORDS.format(type(error).__name__),
                "tasks": {name: _routing(table, name) for name in table.tasks},
            }
        for name, task in tasks.items():
            task["traffic"] = {
                version: [_shown(point) for point in points] for version, points in traffic.get(name, {}).items()
            }
            task["agreement"] = agreed.get(name, {})
            task["totals"] = _shown(
                curves.totals(point for points in traffic.get(name, {}).values() for point in points)
            )
        return {**overview, "tasks": tasks}

    def _curves(self, connection: Connection, table: routes.Table, window: curves.Window, now: float) -> tuple:
        """Traffic and agreement of all tasks. Traffic that is over is not counted again: of thirty days only the
        last hours are read anew.
        """
        key = (str(connection.engine.url), window.name)
        with self._locks[window.name]:
            until, settled, value = self._made.get(key, (0.0, 0, ({}, {})))
            if now >= until:
                # The first whole bucket: half of one would look like a quiet one.
                first, began = (int(now - window.length) // window.bucket + 1) * window.bucket, time.time()
                traffic = curves.traffic(connection, max(first, settled), window.bucket)
                traffic = curves.joined(value[0], traffic, first, settled)
                value = (traffic, curves.agreement(connection, first, window.bucket, contracts_of(table)))
                # A log so large that reading it takes seconds is read less often: a tenth of one processor at most.
                until = now + max(window.fresh, 10 * (time.time() - began))
                settled = int(now - LATE) // window.bucket * window.bucket
                self._made[key] = (until, settled, value)
            return value


def contracts_of(table: routes.Table) -> curves.Of:
    """(task, version) → what its answers must be: its own contract where it is routed, else its champion's; None
    when neither can be read.
    """
    known = {
        (name, target.version): _contract(target)
        for name, task in table.tasks.items()
        for target in task.targets.values()
    }
    champions = {
        name: known[name, task.targets["champion"].version]
        for name, task in table.tasks.items()
        if "champion" in task.targets
    }
    return lambda task, version: known.get((task, version or "")) or champions.get(task)


def _contract(target: routes.Target) -> Contract | None:
    try:
        return contract.load(Path(target.folder))
    except (AnnealError, OSError):
        return None


def _shown(point: dict) -> dict:
    return {name: value for name, value in point.items() if name != "bins"}


def _routing(table: routes.Table, name: str) -> dict:
    """Who answers: aliases, and how the traffic is split."""
    task = table.tasks.get(name, routes.Task())
    targets = {
        alias: {"version": target.version, "artifact": target.artifact[:12], "model": target.model}
        for alias, target in task.targets.items()
    }
    return {
        "targets": targets,
        "canary": task.canary,
        "share": task.share,
        "canary_since": task.since if task.canary != "off" else None,
    }


def _task(
    connection: Connection, table: routes.Table, settings: Settings, name: str, window: curves.Window, start: float
) -> dict:
    last = connection.execute(
        select(checks).where(checks.c.task == name).order_by(checks.c.at.desc(), checks.c.id.desc()).limit(1)
    ).first()
    return {
        **_routing(table, name),
        "canary_answers": _canary_answers(connection, table, name),
        "canary_requests": settings.release.canary_requests,
        "check": _check(last) if last else None,
        "check_every": settings.monitor.check_every * 60,
        "evidence": curves.evidence(connection, name, start, window.bucket),
        "decisions": _decisions(connection, name),
        "paused": is_paused(connection.engine, name),
        "retrainings": _newest(
            connection, retrainings, name, MOST_RETRAININGS, "id", "started_at", "ended_at", "outcome", "reasons"
        ),
        "commands": _newest(
            connection, commands, name, MOST_COMMANDS, "id", "at", "action", "done_at", "state", "result"
        ),
    }


def _canary_answers(connection: Connection, table: routes.Table, name: str) -> int | None:
    """How many requests the challenger answered since its canary was opened."""
    task = table.tasks.get(name)
    if task is None or task.canary == "off" or "challenger" not in task.targets:
        return None
    mine = (
        requests.c.task == name,
        requests.c.at >= task.since,
        requests.c.version == task.targets["challenger"].version,
        requests.c.role.in_(("canary", "shadow")),
    )
    return connection.execute(select(func.count()).where(*mine)).scalar_one()


def _check(row: Any) -> dict:
    """A check as the page shows it; `report` is a path below /dashboard/reports/."""
    path, pages = Path(row.report).resolve() if row.report else None, paths.CHECKS.resolve()
    return {
        "at": row.at,
        "version": row.version,
        "requests": row.requests,
        "alarm": bool(row.alarm),
        "reasons": row.reasons or [],
        "figures": curves.finite(row.figures),
        "report": path.relative_to(pages).as_posix() if path and path.is_relative_to(pages) else None,
    }


def _decisions(connection: Connection, name: str) -> list[dict]:
    """The newest decisions; of many alike in a row (a `no` every quarter of an hour) the newest, with their number."""
    query = (
        select(decisions)
        .where(decisions.c.task == name)
        .order_by(decisions.c.at.desc(), decisions.c.id.desc())
        .limit(20 * MOST_DECISIONS)
    )
    decided: list[dict] = []
    for row in connection.execute(query):
        if decided and (row.kind, row.verdict, row.reasons) == (
            decided[-1]["kind"],
            decided[-1]["verdict"],
            decided[-1]["reasons"],
        ):
            decided[-1] |= {"times": decided[-1]["times"] + 1, "first": row.at}
        elif len(decided) == MOST_DECISIONS:
            break
        else:
            decided.append(
                {
                    "id": row.id,
                    "at": row.at,
                    "kind": row.kind,
                    "verdict": row.verdict,
                    "reasons": row.reasons,
                    "times": 1,
                    "first": row.at,
                }
            )
    return decided


def _newest(connection: Connection, table: Any, name: str, most: int, *columns: str) -> list[dict]:
    query = (
        select(*(table.c[column] for column in columns))
        .where(table.c.task == name)
        .order_by(table.c.id.desc())
        .limit(most)
    )
    return [dict(row._mapping) for row in connection.execute(query)]


def _decided(connection: Connection) -> list[str]:
    """Tasks that something was decided about, whether or not they are served."""
    return list(connection.execute(select(decisions.c.task).distinct().order_by(decisions.c.task)).scalars())
