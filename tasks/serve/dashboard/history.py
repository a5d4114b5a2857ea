"""Checks, decisions and commands for a model, newest first, and the evidence of its checks over time."""

import math
from collections.abc import Mapping
from itertools import groupby
from pathlib import Path

from sqlalchemy import Connection, Table, case, func, select

from tasks import paths
from tasks.records.database import checks, commands, decisions, retrainings
from tasks.serve.dashboard.bins import bucket_of

Shown = dict[str, object]  # as JSON
MOST_DECISIONS, MOST_RETRAININGS, MOST_COMMANDS = 30, 8, 5


def evidence(connection: Connection, task: str, since: float, bucket: int) -> list[Shown]:
    """The checks of `task`: the newest of a bucket, with an alarm of any check in it."""
    when = bucket_of(checks.c.at, bucket)
    newest = (
        select(func.max(checks.c.id).label("id"), func.max(case((checks.c.alarm, 1), else_=0)).label("alarm"))
        .where(checks.c.task == task, checks.c.at >= since)
        .group_by(when)
        .subquery()
    )
    columns = [checks.c.at, checks.c.version, checks.c.evidence, checks.c.figures, newest.c.alarm]
    query = select(*columns).join_from(newest, checks, newest.c.id == checks.c.id).order_by(checks.c.at)
    return [
        {
            "at": row.at,
            "version": row.version,
            "evidence": finite(row.evidence),
            "threshold": finite(row.figures).get("threshold"),
            "alarm": bool(row.alarm),
        }
        for row in connection.execute(query)
    ]


def finite(values: Mapping[str, object] | None) -> dict[str, float]:
    """The finite numbers of `values`, which JSON can hold."""
    return {
        name: value for name, value in (values or {}).items() if isinstance(value, int | float) and math.isfinite(value)
    }


def newest_check(connection: Connection, task: str) -> Shown | None:
    """The last check of `task`; None before there is one. Its `report` is a path below /dashboard/reports/."""
    columns = [checks.c[name] for name in ("at", "version", "requests", "alarm", "reasons", "figures", "report")]
    query = select(*columns).where(checks.c.task == task).order_by(checks.c.at.desc(), checks.c.id.desc()).limit(1)
    row = connection.execute(query).mappings().first()
    if row is None:
        return None
    root, path = paths.CHECKS.resolve(), Path(row["report"]).resolve() if row["report"] else None
    return {
        **row,
        "alarm": bool(row["alarm"]),
        "reasons": row["reasons"] or [],
        "figures": finite(row["figures"]),
        "report": path.relative_to(root).as_posix() if path is not None and path.is_relative_to(root) else None,
    }


def newest_decisions(connection: Connection, task: str) -> list[Shown]:
    """The newest decisions; of equal ones in a row (a `no` every quarter of an hour) the newest, with their number and
    the time of the first.
    """
    columns = [decisions.c[name] for name in ("id", "at", "kind", "verdict", "reasons")]
    query = (
        select(*columns)
        .where(decisions.c.task == task)
        .order_by(decisions.c.at.desc(), decisions.c.id.desc())
        .limit(20 * MOST_DECISIONS)
    )
    rows = connection.execute(query).mappings()
    alike = [list(group) for _, group in groupby(rows, lambda row: (row["kind"], row["verdict"], row["reasons"]))]
    return [{**group[0], "times": len(group), "first": group[-1]["at"]} for group in alike[:MOST_DECISIONS]]


def newest_retrainings(connection: Connection, task: str) -> list[Shown]:
    """The newest retrainings of `task`."""
    columns = ("id", "started_at", "ended_at", "outcome", "reasons")
    return _newest(connection, retrainings, task, MOST_RETRAININGS, columns)


def newest_commands(connection: Connection, task: str) -> list[Shown]:
    """The newest commands for `task`."""
    columns = ("id", "at", "action", "done_at", "state", "result")
    return _newest(connection, commands, task, MOST_COMMANDS, columns)


def _newest(connection: Connection, table: Table, task: str, most: int, columns: tuple[str, ...]) -> list[Shown]:
    chosen = [table.c[column] for column in columns]
    query = select(*chosen).where(table.c.task == task).order_by(table.c.id.desc()).limit(most)
    return [dict(row) for row in connection.execute(query).mappings()]


def decided_tasks(connection: Connection) -> list[str]:
    """The tasks with decisions, whether or not they are served."""
    return list(connection.execute(select(decisions.c.task).distinct().order_by(decisions.c.task)).scalars())
