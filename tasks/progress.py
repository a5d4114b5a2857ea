"""Lines that tell how far long work has come, how fast it is, and how long is left (timings.py reads the last)."""

import sys
import time
from collections.abc import Callable

EVERY = 10.0  # seconds between lines


def printer(what: str, rows: int, unit: str = "answers") -> Callable[[float], None]:
    """A function that is told how many of `rows` are done, and prints that now and then."""
    started = last = time.monotonic()

    def tell(done: float) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= EVERY and 0 < done < rows:
            print(line(what, done, rows, now - started, unit), file=sys.stderr, flush=True)
            last = now

    return tell


def line(what: str, done: float, rows: int, seconds: float, unit: str = "answers") -> str:
    """The line after so many `seconds`; a row that is half done counts as half."""
    left = seconds / done * (rows - done)
    return f"{what}: {int(done)}/{rows} {unit}, {done / seconds:.1f} per second, {left:.0f} s left"
