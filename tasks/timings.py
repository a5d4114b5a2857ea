"""Estimates the time left of a run from how long its stages and steps took last time."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tasks.errors import AnnealError
from tasks.files import read_json, write_json

FILE = Path(".anneal/timings.json")
LEFT = re.compile(r"(?:(?:(\d+):)?(\d+):(\d\d)|(\d+) s) left\b")  # 1:02:03 left, 0:08 left, 40 s left


def read() -> dict[str, float]:
    """Return, by stage or step, the seconds that it took when it last ran here; empty if nothing is known."""
    try:
        durations = read_json(FILE) if FILE.exists() else {}
    except AnnealError:  # it is only an estimate
        return {}
    return {str(name): float(taken) for name, taken in durations.items() if isinstance(taken, int | float)}


def keep(name: str, seconds: float) -> None:
    """Remember that `name` took `seconds`."""
    write_json(FILE, dict(sorted({**read(), name: round(seconds, 1)}.items())))


def left_in(line: str) -> float | None:
    """Return the seconds left that a stage's line of output names; None if it names none."""
    match = LEFT.search(line)
    if match is None:
        return None
    hours, minutes, seconds, plain = (int(part or 0) for part in match.groups())
    return float(plain or hours * 3600 + minutes * 60 + seconds)


@dataclass(frozen=True)
class RemainingWork:
    """What is still to run, in order, and how long each took last time."""

    names: tuple[str, ...] = ()
    taken: Mapping[str, float] = field(default_factory=dict)
    stages: tuple[str, ...] = ()  # those of `names` that are stages of the DAG

    def after(self, done: Iterable[str]) -> "RemainingWork":
        """Return what is still to run after `done`."""
        finished = set(done)
        return RemainingWork(tuple(name for name in self.names if name not in finished), self.taken, self.stages)

    def left(self, running: str | None, elapsed: float, own_estimate: float | None) -> float | None:
        """Return the seconds until the end, if `running` has run for `elapsed` and prints that `own_estimate` are left;
        None if something still to run has never run here.
        """
        if any(name not in self.taken for name in self.names if name != running or own_estimate is None):
            return None
        seconds = {name: self.taken[name] for name in self.names if name != running}
        if own_estimate is not None:
            return sum(seconds.values()) + own_estimate
        return sum(seconds.values()) + max(0.0, self.taken.get(running or "", 0.0) - elapsed)

    def in_words(self, running: str | None, elapsed: float, own_estimate: float | None) -> str:
        """Return how long is left, or why that is unknown; empty if nothing is still to run."""
        if not self.names:
            return ""
        left = self.left(running, elapsed, own_estimate)
        if left is not None:
            return f"about {estimated_duration(left)} left"
        new = [name for name in self.names if name not in self.taken]
        why = "first run" if len(new) == len(self.names) else f"{new[0]} has not run here before"
        of_this = f"about {estimated_duration(own_estimate)} left of this; " if own_estimate else ""
        return f"{of_this}{why}: no overall estimate yet"


def clock(seconds: float) -> str:
    """Return a duration as a clock shows it: `0:08`, `12:40`, `75:00`."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def estimated_duration(seconds: float) -> str:
    """Return an estimated duration as text: `40 s`, `6 min`, `1 h 10 min`."""
    if seconds < 55:
        return f"{max(5, 5 * round(seconds / 5))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def measured_duration(seconds: float) -> str:
    """Return a measured duration as text: `3 s`, `10 min 4 s`."""
    rounded = round(seconds)
    return f"{rounded} s" if rounded < 60 else f"{rounded // 60} min {rounded % 60} s"
