"""The content of the page, as plain values: the routing table, the curves, the last checks, decisions and
retrainings, without texts of requests or keys.
"""

import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import Connection, Engine, func, select
from sqlalchemy.exc import SQLAlchemyError

from tasks.errors import AnnealError
from tasks.formats import contract
from tasks.formats.contract import Contract
from tasks.records.database import requests
from tasks.retrain.pause import is_paused
from tasks.serve import routes
from tasks.serve.dashboard import curves, history
from tasks.serve.dashboard.history import Shown
from tasks.serve.dashboard.settings import DashboardSettings

# seconds after which nothing is added to a past bucket: the longest answer, and records queued behind a slow database
LATE = 900
WITHOUT_RECORDS = (
    "The records do not answer ({}), so this page has no curves and no decisions; requests are served "
    "all the same. Start the database, or correct ANNEAL_DATABASE_URL."
)


@dataclass(frozen=True)
class KeptCurves:
    """The curves of all tasks, valid `until` a time; the traffic before `settled` is final."""

    until: float = 0.0
    settled: int = 0
    traffic: curves.Curves[curves.Point] = field(default_factory=dict)
    agreement: curves.Curves[curves.Agreement] = field(default_factory=dict)


class Reader:
    """Reads the records for the page; curves are kept for as long as their window lets them be old, and made by one
    thread at a time.
    """

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], KeptCurves] = {}  # by database and window
        self._locks = {name: threading.Lock() for name in curves.WINDOWS}

    def page(
        self, engine: Engine | None, table: routes.Table, settings: DashboardSettings, window: curves.Window
    ) -> Shown:
        """All that the page shows for `window`; with a sentence under `problem` if the records do not answer."""
        now = time.time()
        overview: Shown = {
            "at": now,
            "window": window.name,
            "since": now - window.length,
            "bucket": window.bucket,
            "revision": table.revision,
            "problem": None,
            "retrain_every": settings.retrain.consider_every * 60,
        }
        try:
            if engine is not None:
                with engine.connect() as connection:
                    return {**overview, "tasks": self._tasks(connection, table, settings, window, now)}
            reason = "not connected"
        except SQLAlchemyError as error:
            reason = type(error).__name__
        routed = {name: _routing(table, name) for name in table.tasks}
        return {**overview, "problem": WITHOUT_RECORDS.format(reason), "tasks": routed}

    def _tasks(
        self,
        connection: Connection,
        table: routes.Table,
        settings: DashboardSettings,
        window: curves.Window,
        now: float,
    ) -> Shown:
        kept = self._curves(connection, table, window, now)
        names = [*table.tasks, *(name for name in history.decided_tasks(connection) if name not in table.tasks)]
        tasks: Shown = {}
        for name in names:
            traffic = kept.traffic.get(name, {})
            points_of_all = [point for points in traffic.values() for point in points]
            tasks[name] = {
                **_task(connection, table, settings, name),
                "evidence": history.evidence(connection, name, now - window.length, window.bucket),
                "traffic": {version: [point.shown() for point in points] for version, points in traffic.items()},
                "agreement": kept.agreement.get(name, {}),
                "totals": curves.totals(points_of_all),
            }
        return tasks

    def _curves(self, connection: Connection, table: routes.Table, window: curves.Window, now: float) -> KeptCurves:
        """Traffic and agreement of all tasks. Settled traffic is not counted again: of 30 days only the last hours."""
        key = (str(connection.engine.url), window.name)
        with self._locks[window.name]:
            kept = self._kept.get(key, KeptCurves())
            if now >= kept.until:
                # The first whole bucket: half of one would look like a quiet one.
                first, began = (int(now - window.length) // window.bucket + 1) * window.bucket, time.time()
                traffic = curves.traffic(connection, max(first, kept.settled), window.bucket)
                traffic = curves.joined(kept.traffic, traffic, first, kept.settled)
                agreement = curves.agreement(connection, first, window.bucket, contracts_of(table))
                # A log so large that reading it takes seconds is read less often: a tenth of one processor at most.
                until = now + max(window.fresh, 10 * (time.time() - began))
                settled = int(now - LATE) // window.bucket * window.bucket
                kept = self._kept[key] = KeptCurves(until, settled, traffic, agreement)
            return kept


def contracts_of(table: routes.Table) -> curves.ContractOf:
    """(task, version) → the version's contract if it is routed, else the champion's; None if neither can be read."""
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


def _routing(table: routes.Table, name: str) -> Shown:
    """The versions by alias, and how the traffic is split."""
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


def _task(connection: Connection, table: routes.Table, settings: DashboardSettings, name: str) -> Shown:
    return {
        **_routing(table, name),
        "canary_answers": _canary_answers(connection, table, name),
        "canary_requests": settings.release.canary_requests,
        "check": history.newest_check(connection, name),
        "check_every": settings.monitor.check_every * 60,
        "decisions": history.newest_decisions(connection, name),
        "paused": is_paused(connection.engine, name),
        "retrainings": history.newest_retrainings(connection, name),
        "commands": history.newest_commands(connection, name),
    }


def _canary_answers(connection: Connection, table: routes.Table, name: str) -> int | None:
    """How many requests the challenger answered since its canary was opened."""
    task = table.tasks.get(name)
    if task is None or task.canary == "off" or "challenger" not in task.targets:
        return None
    of_challenger = (
        requests.c.task == name,
        requests.c.at >= task.since,
        requests.c.version == task.targets["challenger"].version,
        requests.c.role.in_(("canary", "shadow")),
    )
    return connection.execute(select(func.count()).where(*of_challenger)).scalar_one()
