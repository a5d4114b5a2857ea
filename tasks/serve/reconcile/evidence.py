"""Counts what the records say about an open canary: failures of either version by indicator."""

from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any

from tasks import contract
from tasks.contract import Contract
from tasks.corrections import counted
from tasks.serve.canary import Counts
from tasks.serve.reconcile.desired import Wanted

LATEST = 1000  # requests of the champion before the canary that say what slow is
FEW = 50  # fewer say nothing
# times the 95 % quantile: the prompts of the version with more traffic are more often in vLLM's prefix cache, and that
# is no fault of the other
SLOWER = 1.5


def count(engine: Any, champion: Wanted, challenger: Wanted, labels: list[str]) -> Counts:
    """What has been seen of both since the canary of `challenger` was opened."""
    rows = _requests(engine, champion, challenger)
    feedback = _feedback(engine, champion.task, challenger.since)
    slow = _slow(engine, champion, challenger) if challenger.canary == "share" else None
    contracts = {"champion": cache(lambda: contract.load(Path(champion.folder)))}
    theirs = cache(lambda: contract.load(Path(challenger.folder)))  # as the canary, or in the shadow
    by_id = {
        row["id"]: failures(row, feedback.get(row["id"]), contracts.get(row["role"], theirs), labels, slow)
        for row in rows
    }
    if challenger.canary == "shadow":
        return _pairs(rows, by_id)
    mine = {row["id"] for row in rows if row["role"] == "canary"}
    found = {name: _of(by_id, mine, name) for name in ("error", "invalid", "slow", "wrong")}
    return Counts(len(mine), len(rows) - len(mine), found)


def failures(
    row: dict, feedback: dict | None, of: Callable[[], Contract], labels: list[str], slow: float | None
) -> set[str]:
    """The indicators by which the request `row` failed; `of` reads the contract of the version that answered it.

    A copy in shadow mode is not called slow: it runs beside its original and after it.
    """
    found = set()
    if row["status"] >= 500 or (
        row["status"] == 200 and row["error"]
    ):  # a client's mistake, and one that hung up, are no failures
        found.add("error")
    elif row["valid"] is False:
        found.add("invalid")
    if slow is not None and row["latency"] is not None and row["latency"] > slow:
        found.add("slow")
    if feedback is not None and is_wrong(row["output"], feedback, of, labels):
        found.add("wrong")
    return found


def is_wrong(output: str | None, feedback: dict, of: Callable[[], Contract], labels: list[str]) -> bool:
    """True when a person marked the answer down, or corrected it in one of the `labels` (without any: in anything).

    Raises AnnealError when there is a correction and the version's format cannot be read: then nobody knows.
    """
    correction = feedback["correction"]
    return feedback["thumb"] == -1 if correction is None else of().agrees(output, correction, labels) is False


def _of(by_id: dict[str, set[str]], mine: set[str], name: str) -> tuple[int, int]:
    failed = [key for key, found in by_id.items() if name in found]
    return sum(key in mine for key in failed), len(failed)


def _pairs(rows: Iterable[dict], by_id: dict[str, set[str]]) -> Counts:
    """Pairs of a request and its copy; only those count that one version failed and the other did not."""
    rows = list(rows)
    there = {row["id"] for row in rows if row["role"] == "champion"}
    pairs = [
        (by_id[row["id"]], by_id[row["shadow_of"]])
        for row in rows
        if row["role"] == "shadow" and row["shadow_of"] in there
    ]
    found = {}
    for name in ("error", "invalid", "wrong"):
        worse = sum(name in copy and name not in original for copy, original in pairs)
        better = sum(name in original and name not in copy for copy, original in pairs)
        found[name] = (worse, worse + better)
    return Counts(len(pairs), len(pairs), found)


def _requests(engine: Any, champion: Wanted, challenger: Wanted) -> list[dict]:
    from sqlalchemy import and_, or_, select

    from tasks.database import requests as table

    roles = ("canary", "shadow")
    columns = [table.c[name] for name in ("id", "role", "shadow_of", "status", "error", "latency", "valid", "output")]
    who = or_(
        and_(table.c.role == "champion", table.c.artifact == champion.artifact),
        and_(table.c.role.in_(roles), table.c.artifact == challenger.artifact),
    )
    with engine.connect() as connection:
        answered = or_(table.c.status < 400, table.c.status >= 499)  # the rest are the clients' mistakes
        found = connection.execute(
            select(*columns).where(table.c.task == champion.task, table.c.at >= challenger.since, answered, who)
        )
        return [dict(row._mapping) for row in found]


def _feedback(engine: Any, task: str, since: float) -> dict[str, dict]:
    """Request: the correction of it that counts, or, without one, the newest thumb."""
    from sqlalchemy import select

    from tasks.database import feedback, requests

    wanted = select(feedback.c.request_id, feedback.c.id, feedback.c.thumb, feedback.c.correction).join(
        requests, requests.c.id == feedback.c.request_id
    )
    with engine.connect() as connection:
        found = connection.execute(
            wanted.where(requests.c.task == task, requests.c.at >= since).order_by(feedback.c.id)
        )
        rows = found.all()
    counting = set(counted((row.request_id, row.id, row.correction) for row in rows).values())
    return {row.request_id: {"thumb": row.thumb, "correction": row.correction} for row in rows if row.id in counting}


def _slow(engine: Any, champion: Wanted, challenger: Wanted) -> float | None:
    """Seconds above which an answer is slow, from the champion's requests before the canary; None when there were
    too few.
    """
    from sqlalchemy import select

    from tasks.database import requests as table

    wanted = select(table.c.latency).where(
        table.c.task == champion.task,
        table.c.artifact == champion.artifact,
        table.c.at < challenger.since,
        table.c.status == 200,
    )
    with engine.connect() as connection:
        found = sorted(
            row.latency
            for row in connection.execute(
                wanted.where(table.c.latency.is_not(None)).order_by(table.c.at.desc()).limit(LATEST)
            )
        )
    return SLOWER * found[int(0.95 * (len(found) - 1))] if len(found) >= FEW else None
