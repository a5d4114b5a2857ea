"""Counts what the records say about an open canary: failures of either version by indicator."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, TypedDict, cast

from tasks.formats import contract
from tasks.formats.contract import Contract
from tasks.records.corrections import counted
from tasks.serve import state
from tasks.serve.canary import Counts
from tasks.versions.registry import Version

if TYPE_CHECKING:
    from sqlalchemy import Engine

LATEST = 1000  # requests of the champion before the canary that say what slow is
FEW = 50  # fewer say nothing
# times the 95 % quantile: the prompts of the version with more traffic are more often in vLLM's prefix cache, and that
# is no fault of the other
SLOWER = 1.5


class Request(TypedDict):
    """The columns of a request that are counted."""

    id: str
    role: str
    shadow_of: str | None
    status: int
    error: str | None
    latency: float | None
    valid: bool | None
    output: str | None


class Feedback(TypedDict):
    """A person's feedback on a request."""

    thumb: int | None
    correction: Mapping[str, Any] | None  # JSON, which an answer's format reads


def count(engine: Engine, champion: Version, challenger: Version, labels: Sequence[str]) -> Counts:
    """Counts for both versions since the canary of `challenger` was opened."""
    rows = _requests(engine, champion, challenger)
    feedback = _feedback(engine, champion.name, challenger.canary_since)
    slow = _slow_latency(engine, champion, challenger) if challenger.canary == "share" else None
    contracts = {"champion": _contract(champion)}
    challengers = _contract(challenger)  # as the canary, or in the shadow
    by_id = {
        row["id"]: failures(row, feedback.get(row["id"]), contracts.get(row["role"], challengers), labels, slow)
        for row in rows
    }
    if challenger.canary == "shadow":
        return _pairs(rows, by_id)
    canary = {row["id"] for row in rows if row["role"] == "canary"}
    failed = {name: _failed(by_id, canary, name) for name in ("error", "invalid", "slow", "wrong")}
    return Counts(len(canary), len(rows) - len(canary), failed)


def _contract(version: Version) -> Callable[[], Contract]:
    """A function that loads the contract of `version` on its first call."""
    return cache(lambda: contract.load(state.adapter_folder(version.name, version.artifact)))


def failures(
    row: Request,
    feedback: Feedback | None,
    load: Callable[[], Contract],
    labels: Sequence[str],
    slow: float | None,
) -> set[str]:
    """The indicators by which the request `row` failed; `load` reads that of the version that answered it.

    A copy in shadow mode is not called slow: it runs beside its original and after it.
    """
    failed = set()
    # a client's mistake, and one that hung up, are no failures
    if row["status"] >= 500 or (row["status"] == 200 and row["error"]):
        failed.add("error")
    elif row["valid"] is False:
        failed.add("invalid")
    if slow is not None and row["latency"] is not None and row["latency"] > slow:
        failed.add("slow")
    if feedback is not None and is_wrong(row["output"], feedback, load, labels):
        failed.add("wrong")
    return failed


def is_wrong(output: str | None, feedback: Feedback, load: Callable[[], Contract], labels: Sequence[str]) -> bool:
    """True when a person marked the answer down, or corrected it in one of the `labels` (without any: in anything).

    Raises AnnealError if there is a correction and the version's format cannot be read.
    """
    correction = feedback["correction"]
    return feedback["thumb"] == -1 if correction is None else load().agrees(output, correction, labels) is False


def _failed(by_id: Mapping[str, set[str]], canary: set[str], name: str) -> tuple[int, int]:
    """(how many of `canary` failed by `name`, how many of all)."""
    failed = [key for key, names in by_id.items() if name in names]
    return sum(key in canary for key in failed), len(failed)


def _pairs(rows: Sequence[Request], by_id: Mapping[str, set[str]]) -> Counts:
    """Pairs of a request and its copy; only those count that one version failed and the other did not."""
    originals = {row["id"] for row in rows if row["role"] == "champion"}
    pairs = [
        (by_id[row["id"]], by_id[original])
        for row in rows
        if row["role"] == "shadow" and (original := row["shadow_of"]) is not None and original in originals
    ]
    failed = {}
    for name in ("error", "invalid", "wrong"):
        worse = sum(name in copy and name not in original for copy, original in pairs)
        better = sum(name in original and name not in copy for copy, original in pairs)
        failed[name] = (worse, worse + better)
    return Counts(len(pairs), len(pairs), failed)


def _requests(engine: Engine, champion: Version, challenger: Version) -> list[Request]:
    from sqlalchemy import and_, or_, select

    from tasks.records.database import requests as table

    roles = ("canary", "shadow")
    columns = [table.c[name] for name in Request.__annotations__]
    by_version = or_(
        and_(table.c.role == "champion", table.c.artifact == champion.artifact),
        and_(table.c.role.in_(roles), table.c.artifact == challenger.artifact),
    )
    answered = or_(table.c.status < 400, table.c.status >= 499)  # the rest are the clients' mistakes
    query = select(*columns).where(
        table.c.task == champion.name, table.c.at >= challenger.canary_since, answered, by_version
    )
    with engine.connect() as connection:
        return [cast(Request, row._asdict()) for row in connection.execute(query)]


def _feedback(engine: Engine, task: str, since: float) -> dict[str, Feedback]:
    """{request: the correction that counts, or the newest thumb if it has none}."""
    from sqlalchemy import select

    from tasks.records.database import feedback, requests

    query = (
        select(feedback.c.request_id, feedback.c.id, feedback.c.thumb, feedback.c.correction)
        .join(requests, requests.c.id == feedback.c.request_id)
        .where(requests.c.task == task, requests.c.at >= since)
        .order_by(feedback.c.id)
    )
    with engine.connect() as connection:
        rows = connection.execute(query).all()
    counting = set(counted((row.request_id, row.id, row.correction) for row in rows).values())
    return {row.request_id: Feedback(thumb=row.thumb, correction=row.correction) for row in rows if row.id in counting}


def _slow_latency(engine: Engine, champion: Version, challenger: Version) -> float | None:
    """Seconds above which an answer is slow, from the champion's requests before the canary; None when there were
    too few.
    """
    from sqlalchemy import select

    from tasks.records.database import requests as table

    query = select(table.c.latency).where(
        table.c.task == champion.name,
        table.c.artifact == champion.artifact,
        table.c.at < challenger.canary_since,
        table.c.status == 200,
        table.c.latency.is_not(None),
    )
    with engine.connect() as connection:
        latencies = sorted(connection.scalars(query.order_by(table.c.at.desc()).limit(LATEST)))
    return SLOWER * float(latencies[int(0.95 * (len(latencies) - 1))]) if len(latencies) >= FEW else None
