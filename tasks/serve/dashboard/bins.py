"""Times and latencies in bins: counted in SQL, read as quantiles."""

from collections.abc import Mapping

from sqlalchemy import BigInteger, ColumnElement, case, cast

# ms: below each bound, bins of this width
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
)


def latency_bin(seconds: ColumnElement[float]) -> ColumnElement[int]:
    """The number of the bin that `seconds` fall into: from 50 ms on a bin is at most a tenth as wide as where it
    begins. There are 111.
    """
    ms = cast(seconds * 1000, BigInteger)
    branches: list[tuple[ColumnElement[bool], ColumnElement[int] | None]] = [(seconds.is_(None), None)]
    first = low = 0
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


def quantile(bins: Mapping[int, int], share: float) -> float | None:
    """The `share`-quantile in seconds of {bin: count}, taken as evenly spread within a bin; None if it is empty."""
    rank, passed = share * sum(bins.values()), 0
    for number in sorted(bins):
        if bins[number] and passed + bins[number] >= rank:
            low, high = bin_edges(number)
            return low + (high - low) * (rank - passed) / bins[number]
        passed += bins[number]
    return None


def bucket_of(at: ColumnElement[float], seconds: int) -> ColumnElement[int]:
    """The number of the bucket of time: whole seconds first, since the integer division of SQLite and of PostgreSQL
    are the same.
    """
    return cast(at, BigInteger) // seconds
