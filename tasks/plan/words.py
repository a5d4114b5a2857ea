"""A plan in words."""

from tasks.plan.amounts import Amounts
from tasks.plan.memory import GIB
from tasks.timings import estimated_duration

MIB = 2**20
LONG = 55.0  # seconds; from here on they are rounded to minutes


def line(counted: Amounts, seconds: float | None, peak: int | None, by: str) -> str:
    """The line that a training begins with."""
    tokens = "" if counted.tokens is None else f", {counted.tokens:,} tokens"
    took = "" if seconds is None else f"; about {duration(seconds)}"
    memory = "" if peak is None else f" and {size(peak)} of memory (by {by})"
    return (
        f"train: {number(counted.parameters)} parameters, {number(counted.trained)} of them learn; {counted.rows:,} "
        f"rows{tokens}, {counted.steps:,} steps{took}{memory}"
    )


def duration(seconds: float) -> str:
    """`0.4 s`, `12 s`, `6 min`."""
    return f"{seconds:.1g} s" if seconds < 5 else f"{seconds:.0f} s" if seconds < LONG else estimated_duration(seconds)


def number(count: int) -> str:
    """`512`, `134.5 M`, `8.03 B`."""
    for unit, name in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if count >= unit:
            return f"{count / unit:.3g} {name}"
    return str(count)


def size(bytes_: int) -> str:
    """`310 MiB`, `1.4 GiB`."""
    return f"{bytes_ / GIB:.1f} GiB" if bytes_ >= GIB else f"{bytes_ / MIB:.0f} MiB"
