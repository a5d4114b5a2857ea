"""Curves over time from the request log, aggregated in SQL: what is fetched grows with the chart, not with the
traffic.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypedDict, TypeVar

from sqlalchemy import ColumnElement, Connection, Select, Text, and_, case, cast, func, or_, select

from tasks.formats.contract import Contract
from tasks.records.corrections import counted, is_correction
from tasks.records.database import feedback, requests
from tasks.serve.dashboard.bins import bucket_of, latency_bin, quantile

ContractOf = Callable[[str, str | None], Contract | None]  # (task, version) → its contract
MOST_JUDGED = 20_000  # the last judged requests, from which agreement is computed


@dataclass(frozen=True)
class Window:
    """A stretch of time that ends now, cut into buckets; seconds."""

    name: str
    length: int
    bucket: int
    fresh: float  # seconds that its curves may be old: a 30-day curve does not visibly move in two minutes


WINDOWS = {
    window.name: window
    for window in (Window("1h", 3600, 60, 4), Window("24h", 86_400, 900, 20), Window("30d", 30 * 86_400, 21_600, 120))
}


class Counts(NamedTuple):
    """Requests of a stretch of time, counted."""

    requests: int = 0
    copies: int = 0  # answers to copies for a shadow, among `requests`
    failed: int = 0  # with a status of 500 or more, or a stream that broke
    busy: int = 0  # refused with 429
    asked: int = 0  # whose answer could be checked
    valid: int = 0  # of `asked`, what the task's answers must be


@dataclass(frozen=True)
class Point:
    """The requests of a bucket, which begins `at`, and how many fall into each bin of latency."""

    at: int
    counts: Counts
    bins: Mapping[int, int]

    def shown(self) -> dict[str, float | None]:
        """The values that the page draws."""
        return {"at": self.at, **totals([self])}


class Agreement(TypedDict):
    """The judged requests of a bucket."""

    at: int
    judged: int
    agreed: int


P = TypeVar("P", Point, Agreement)
Curves = dict[str, dict[str, list[P]]]  # {task: {version: points}}


def traffic(connection: Connection, since: float, bucket: int) -> Curves[Point]:
    """The traffic of all tasks, a point for each bucket with requests."""
    when, bin_ = bucket_of(requests.c.at, bucket), latency_bin(requests.c.latency)
    counted = [  # in the order of Counts
        func.count(),
        _sum(requests.c.role == "shadow"),
        _sum(or_(requests.c.status >= 500, and_(requests.c.status < 400, requests.c.error.is_not(None)))),
        _sum(requests.c.status == 429),
        func.count(requests.c.valid),
        _sum(requests.c.valid.is_(True)),
    ]
    keys = [requests.c.task, requests.c.version, when.label("bucket"), bin_.label("bin")]
    query = select(*keys, *counted).where(requests.c.at >= since, requests.c.task.is_not(None)).group_by(*keys)
    groups: dict[tuple[str, str, int], dict[int | None, Counts]] = defaultdict(dict)
    for task, version, number, latency, *counts in connection.execute(query):
        groups[task, version or "", number][latency] = Counts(*map(int, counts))  # PostgreSQL's sums are decimals
    curves: Curves[Point] = defaultdict(lambda: defaultdict(list))
    for task, version, number in sorted(groups):
        group = groups[task, version, number]
        bins = {latency: counts.requests for latency, counts in group.items() if latency is not None}
        curves[task][version].append(Point(number * bucket, _summed(group.values()), bins))
    return curves


def joined(old: Curves[Point], new: Curves[Point], first: int, settled: int) -> Curves[Point]:
    """The points of `old` from `first` to before `settled`, then those of `new`, which begin there."""
    curves: Curves[Point] = defaultdict(lambda: defaultdict(list))
    for task, versions in old.items():
        for version, points in versions.items():
            if kept := [point for point in points if first <= point.at < settled]:
                curves[task][version] += kept
    for task, versions in new.items():
        for version, points in versions.items():
            curves[task][version] += points
    return curves


def totals(points: Iterable[Point]) -> dict[str, float | None]:
    """Several points as one: sums, and quantiles over all their requests, in seconds."""
    points, bins = list(points), Counter[int]()
    for point in points:
        bins.update(point.bins)
    counts = _summed(point.counts for point in points)
    return {**counts._asdict(), "p50": quantile(bins, 0.5), "p95": quantile(bins, 0.95)}


def _summed(counts: Iterable[Counts]) -> Counts:
    return Counts(*map(sum, zip(*counts, strict=True)))


def agreement(connection: Connection, since: float, bucket: int, contract_of: ContractOf) -> Curves[Agreement]:
    """How often people agreed with the answers of all tasks, a point for each bucket with judged requests.

    Of several judgements on a request one counts, by corrections.counted. A correction agrees if it equals the
    answer, in the task's labels if it has some, by the contract of the version that answered; a request without one
    is not counted.
    """
    counts: dict[tuple[str, str, int], list[int]] = defaultdict(lambda: [0, 0])
    rows = connection.execute(_judged(since, bucket)).all()
    counting = set(counted((row.request, row.id, row.correction) for row in rows).values())
    for row in rows:
        if row.id not in counting:
            continue
        contract, is_thumb = contract_of(row.task, row.version), not is_correction(row.correction)
        agreed = row.thumb == 1 if is_thumb else agrees(row.output, row.correction, contract)
        if agreed is None:
            continue
        counts[row.task, row.version or "", row.bucket][0] += 1
        counts[row.task, row.version or "", row.bucket][1] += agreed
    curves: Curves[Agreement] = defaultdict(lambda: defaultdict(list))
    for (task, version, number), (judged, agreed) in sorted(counts.items()):
        curves[task][version].append(Agreement(at=number * bucket, judged=judged, agreed=agreed))
    return curves


def _judged(since: float, bucket: int) -> Select[tuple[object, ...]]:
    """People's judgements of requests, each distinct one once with its newest number: a thousand thumbs are one row."""
    judged = (
        select(feedback.c.request_id)
        .where(feedback.c.at >= since)
        .group_by(feedback.c.request_id)
        .order_by(func.max(feedback.c.id).desc())
        .limit(MOST_JUDGED)
        .subquery()
    )
    newest = (
        select(func.max(feedback.c.id).label("id"))
        .join_from(judged, feedback, judged.c.request_id == feedback.c.request_id)
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
        bucket_of(requests.c.at, bucket).label("bucket"),
        requests.c.output,
    ]
    return (
        select(*columns)
        .join_from(newest, feedback, newest.c.id == feedback.c.id)
        .join(requests, requests.c.id == feedback.c.request_id)
        .where(requests.c.task.is_not(None), requests.c.at >= since)
    )


def agrees(output: str | None, correction: dict[str, str], contract: Contract | None) -> bool | None:
    """True if `output` equals a person's `correction`, in the labels or as a whole; None without a contract."""
    return contract.agrees(output, correction, [*contract.classes]) if contract else None


def _sum(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.coalesce(func.sum(case((condition, 1), else_=0)), 0)
