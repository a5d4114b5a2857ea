"""Checks, decisions and commands for a model, newest first, and the evidence of its checks over time."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TypedDict

from sqlalchemy import Connection, Table, case, func, select

from tasks import paths
from tasks.database import checks, commands, decisions, retrainings
from tasks.serve.dashboard.bins import bucket_of

MOST_DECISIONS, MOST_RETRAININGS, MOST_COMMANDS = 30, 8, 5


class Evidence(TypedDict):
    """A check of the monitor, as a point of the curves."""

    at: float
    version: str | None
    evidence: dict[str, float]
    threshold: float | None
    alarm: bool


class Check(TypedDict):
    """A check of the monitor, as the page shows the newest; `report` is a path below /dashboard/reports/."""

    at: float
    version: str | None
    requests: int
    alarm: bool
    reasons: list[str]
    figures: dict[str, float]
    report: str | None


class Decided(TypedDict):
    """A decision, and how often it was made in a row, first when."""

    id: int
    at: float
    kind: str
    verdict: str
    reasons: list[str]
    times: int
    first: float


def evidence(connection: Connection, task: str, since: float, bucket: int) -> list[Evidence]:
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
        Evidence(
            at=row.at,
            version=row.version,
            evidence=finite(row.evidence),
            threshold=finite(row.figures).get("threshold"),
            alarm=bool(row.alarm),
        )
        for row in connection.execute(query)
    ]


def finite(values: Mapping[str, object] | None) -> dict[str, float]:
    """The numbers of `values` that JSON can say."""
    return {
        name: value for name, value in (values or {}).items() if isinstance(value, int | float) and math.isfinite(value)
    }


def newest_check(connection: Connection, task: str) -> Check | None:
    """The last check of `task`; None before there is one."""
    query = select(checks).where(checks.c.task == task).order_by(checks.c.at.desc(), checks.c.id.desc()).limit(1)
    row = connection.execute(query).first()
    if row is None:
        return None
    root, path = paths.CHECKS.resolve(), Path(row.report).resolve() if row.report else None
    return Check(
        at=row.at,
        version=row.version,
        requests=row.requests,
        alarm=bool(row.alarm),
        reasons=row.reasons or [],
        figures=finite(row.figures),
        report=path.relative_to(root).as_posix() if path is not None and path.is_relative_to(root) else None,
    )


def newest_decisions(connection: Connection, task: str) -> list[Decided]:
    """The newest decisions; of many alike in a row (a `no` every quarter of an hour) the newest, with their number."""
    query = (
        select(decisions)
        .where(decisions.c.task == task)
        .order_by(decisions.c.at.desc(), decisions.c.id.desc())
        .limit(20 * MOST_DECISIONS)
    )
    decided: list[Decided] = []
    for row in connection.execute(query):
        last = decided[-1] if decided else None
        if last and (row.kind, row.verdict, row.reasons) == (last["kind"], last["verdict"], last["reasons"]):
            last["times"] += 1
            last["first"] = row.at
        elif len(decided) == MOST_DECISIONS:
            break
        else:
            decided.append(
                Decided(
                    id=row.id,
                    at=row.at,
                    kind=row.kind,
                    verdict=row.verdict,
                    reasons=row.reasons,
                    times=1,
                    first=row.at,
                )
            )
    return decided


def newest_retrainings(connection: Connection, task: str) -> list[dict[str, object]]:
    """The newest retrainings of `task`."""
    columns = ("id", "started_at", "ended_at", "outcome", "reasons")
    return _newest(connection, retrainings, task, MOST_RETRAININGS, columns)


def newest_commands(connection: Connection, task: str) -> list[dict[str, object]]:
    """What people asked for last about `task`."""
    columns = ("id", "at", "action", "done_at", "state", "result")
    return _newest(connection, commands, task, MOST_COMMANDS, columns)


def _newest(
    connection: Connection, table: Table, task: str, most: int, columns: tuple[str, ...]
) -> list[dict[str, object]]:
    chosen = [table.c[column] for column in columns]
    query = select(*chosen).where(table.c.task == task).order_by(table.c.id.desc()).limit(most)
    return [dict(row) for row in connection.execute(query).mappings()]


def decided_tasks(connection: Connection) -> list[str]:
    """Tasks that something was decided about, whether or not they are served."""
    return list(connection.execute(select(decisions.c.task).distinct().order_by(decisions.c.task)).scalars())
