"""How far a sweep is: lines that a screen takes for progress, with the time left."""

import re
import time

from tasks.sweeps.children import LOG, Child
from tasks.timings import clock, left_in

STEP = re.compile(r"step (\d+/\d+)")


def of_trials(done: int, trials: int, taken: float, ended: int) -> str:
    """`done` of so many `trials`; `ended` of them took so many seconds (`taken`) in this process."""
    return f"trials: {done}/{trials}, {clock(taken / ended * (trials - done))} left"


def of_finalist(name: str, number: int, finalists: int, child: Child, side_by_side: int) -> str | None:
    """The `number`th of the finalists, which runs; None until its log has a line of progress. Those that wait are
    expected to take as long.
    """
    lines = (child.folder / LOG).read_text(encoding="utf-8", errors="replace").splitlines()
    line = next((line for line in reversed(lines) if STEP.search(line) and left_in(line) is not None), None)
    if line is None:
        return None
    step, left = STEP.findall(line)[-1], left_in(line) or 0.0
    of_one = time.monotonic() - child.began + left
    of_all = left + (finalists - number) * of_one / side_by_side
    return f"finalist {name}, {number}/{finalists}: step {step}, {clock(of_all)} left"
