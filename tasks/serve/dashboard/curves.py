"""Curves over time from the log of requests, aggregated in SQL: what is fetched grows with the chart, not with the
traffic.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Connection, Select, Text, and_, case, cast, func, or_, select

from tasks.contract import Contract
from tasks.corrections import counted, is_correction
from tasks.database import checks, feedback, requests

Of = Callable[[str, str | None], Contract | None]  # (task, version) → its contract
MOST_JUDGED = 20_000  # requests that agreement is taken from, the last spoken of; corrections are compared here
LATENCY_STEPS = (
    (100, 5),
    (200, 10),
    (500, 25),
    (1_000, 50),
    (2_000, 100),
    (5_000, 250),
    (10_000, 500),
    (20_000, 1_000),
    (100_000, 5_000),
)  # ms: below each bound, bins of this width


@dataclass(frozen=True)
class Window:
    """A stretch of time that ends now, cut into buckets; seconds."""

    name: str
    length: int
    bucket: int
    fresh: float  # seconds that its curves may be old: nobody sees a 30-day curve move in two minutes


WINDOWS = {
    window.name: window
    for window in (Window("1h", 3600, 60, 4), Window("24h", 86_400, 900, 20), Window("30d", 30 * 86_400, 21_600, 120))
}


def traffic(connection: Connection, since: float, bucket: int) -> dict[str, dict[str, list[dict]]]:
    """{task: {version: points}}, a point {at, requests, copies, failed, busy, p50, p95, asked, valid} a bucket with
    requests.

    `copies` are the answers to shadow copies among `requests`; `failed` those with a status of 500 or more
    or a stream that broke, `busy` those refused
    with 429; `valid` of the `asked` whose answer could be checked were what the task's answers must be. Seconds are
    interpolated in bins.
    """
    when, bin_ = _bucket(requests.c.at, bucket), latency_bin(requests.c.latency)
    counted = [
        func.count().label("requests"),
        _sum(requests.c.role == "shadow", "copies"),
        _sum(or_(requests.c.status >= 500, and_(requests.c.status < 400, requests.c.error.is_not(None))), "failed"),
        _sum(requests.c.status == 429, "busy"),
        func.count(requests.c.valid).label("asked"),
        _sum(requests.c.valid.is_(True), "valid"),
    ]
    keys = [requests.c.task, requests.c.version, when.label("bucket"), bin_.label("bin")]
    query = select(*keys, *counted).where(requests.c.at >= since, requests.c.task.is_not(None)).group_by(*keys)
    rows: dict[tuple, list[Any]] = defaultdict(list)
    for row in connection.execute(query):
        rows[row.task, row.version or "", row.bucket].append(row)
    curves: dict[str, dict[str, list[dict]]] = defaultdict(lambda: defaultdict(list))
    for (task, version, number), group in sorted(rows.items()):
        sums = {column.name: int(sum(getattr(row, column.name) for row in group)) for column in counted}
        bins = {row.bin: row.requests for row in group if row.bin is not None}
        curves[task][version].append(
            {"at": number * bucket, **sums, "p50": quantile(bins, 0.5), "p95": quantile(bins, 0.95), "bins": bins}
        )
    return curves


def joined(old: dict, new: dict, first: int, settled: int) -> dict[str, dict[str, list[dict]]]:
    """The points of `old` from `first` to before `settled`, then those of `new`, which begin there."""
    curves: dict[str, dict[str, list[dict]]] = defaultdict(lambda: defaultdict(list))
    for task, versions in old.items():
        for version, points in versions.items():
            if kept := [point for point in points if first <= point["at"] < settled]:
                curves[task][version] += kept
    for task, versions in new.items():
        for version, points in versions.items():
            curves[task][version] += points
    return curves


def totals(points: Iterable[dict]) -> dict:
    """The points of some versions as one: sums, and quantiles over all their requests."""
    names = ("requests", "copies", "failed", "busy", "asked", "valid")
    sums, bins = dict.fromkeys(names, 0), defaultdict(int)
    for point in points:
        for name in names:
            sums[name] += point[name]
        for number, count in point["bins"].items():
            bins[number] += count
    return {**sums, "p50": quantile(bins, 0.5), "p95": quantile(bins, 0.95)}


def agreement(connection: Connection, since: float, bucket: int, of: Of) -> dict[str, dict[str, list[dict]]]:
    """{task: {version: points}}, a point {at, judged, agreed} a bucket of requests that people said something about.

    Of several words on a request one counts, by corrections.counted. A correction agrees when it says what the answer
    said, in the task's labels where it has some, by the contract `of` the version that answered; without one nobody
    knows, and the request is not counted.
    """
    counts: dict[tuple[str, str, int], list[int]] = defaultdict(lambda: [0, 0])
    rows = connection.execute(_judged(since, bucket)).all()
    counting = set(counted((row.request, row.id, row.correction) for row in rows).values())
    for row in rows:
        if row.id not in counting:
            continue
        said, contract = row.correction, of(row.task, row.version)
        agreed = agrees(row.output, said, contract) if is_correction(said) else row.thumb == 1
        if agreed is None:
            continue
        counts[row.task, row.version or "", row.bucket][0] += 1
        counts[row.task, row.version or "", row.bucket][1] += agreed
    curves: dict[str, dict[str, list[dict]]] = defaultdict(lambda: defaultdict(list))
    for (task, version, number), (judged, agreed) in sorted(counts.items()):
        curves[task][version].append({"at": number * bucket, "judged": judged, "agreed": agreed})
    return curves


def _judged(since: float, bucket: int) -> Select:
    """What people said about requests, each different thing once, with its newest number: a thousand thumbs are one
    row.
    """
    spoken_of = (
        select(feedback.c.request_id)
        .where(feedback.c.at >= since)
        .group_by(feedback.c.request_id)
        .order_by(func.max(feedback.c.id).desc())
        .limit(MOST_JUDGED)
        .subquery()
    )
    newest = (
        select(func.max(feedback.c.id).label("id"))
        .join_from(spoken_of, feedback, spoken_of.c.request_id == feedback.c.request_id)
        .group_by(feedback.c.request_id, cast(feedback.c.correction, Text))
        .subquery()
    )
    columns = [
        feedback.c.request_id.label("request"),
        feedback.c.id,
        feedback.c.thumb,
        feedback.c.correction,
        requests.c.task,
        requests.c.version,
        _bucket(requests.c.at, bucket).label("bucket"),
        requests.c.output,
    ]
    return (
        select(*columns)
        .join_from(newest, feedback, newest.c.id == feedback.c.id)
        .join(requests, requests.c.id == feedback.c.request_id)
        .where(requests.c.task.is_not(None), requests.c.at >= since)
    )


def agrees(output: str | None, correction: dict[str, str], contract: Contract | None) -> bool | None:
    """Whether `output` says what a person's `correction` says, in the labels or in all of it; None when that cannot
    be told.
    """
    return contract.agrees(output, correction, [*contract.classes]) if contract else None


def evidence(connection: Connection, task: str, since: float, bucket: int) -> list[dict]:
    """The checks of `task`, {at, evidence, threshold, alarm, version} each: the newest of a bucket, an alarm of any
    check in it.
    """
    when = _bucket(checks.c.at, bucket)
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


def finite(values: dict | None) -> dict[str, float]:
    """The numbers of `values` that JSON can say."""
    return {
        name: value for name, value in (values or {}).items() if isinstance(value, int | float) and math.isfinite(value)
    }


def latency_bin(seconds: ColumnElement) -> ColumnElement:
    """The number of the bin that `seconds` fall into: from 50 ms on a bin is at most a tenth as wide as where it
    begins. There are 111.
    """
    ms = cast(seconds * 1000, BigInteger)
    branches, first, low = [(seconds.is_(None), None)], 0, 0
    for bound, width in LATENCY_STEPS:
        branches.append((ms < bound, first + (ms - low) // width))
        first, low = first + (bound - low) // width, bound
    return case(*branches, else_=first)


def bin_edges(number: int) -> tuple[float, float]:
    """Where bin `number` begins and ends, in seconds; the last begins and ends at 100."""
    low = 0
    for bound, width in LATENCY_STEPS:
        if number < (bound - low) // width:
            return (low + number * width) / 1000, (low + (number + 1) * width) / 1000
        number, low = number - (bound - low) // width, bound
    return low / 1000, low / 1000


def quantile(bins: dict[int, int], share: float) -> float | None:
    """The `share`-quantile in seconds of {bin: count}, taken as evenly spread within a bin; None of nothing."""
    rank, passed = share * sum(bins.values()), 0
    for number in sorted(bins):
        if bins[number] and passed + bins[number] >= rank:
            low, high = bin_edges(number)
            return low + (high - low) * (rank - passed) / bins[number]
        passed += bins[number]
    return None


def _bucket(at: ColumnElement, seconds: int) -> ColumnElement:
    """The number of the bucket of time: whole seconds first, since the integer division of SQLite and of PostgreSQL
    are the same.
    """
    return cast(at, BigInteger) // seconds


def _sum(condition: ColumnElement, name: str) -> ColumnElement:
    return func.coalesce(func.sum(case((condition, 1), else_=0)), 0).label(name)
