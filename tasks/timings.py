"""How long what is left of a run takes, told from how long its stages and steps took the last time."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tasks.errors import AnnealError
from tasks.files import read_json, write_json

PLACE = Path(".anneal/timings.json")
LEFT = re.compile(r"(?:(?:(\d+):)?(\d+):(\d\d)|(\d+) s) left\b")  # 1:02:03 left, 0:08 left, 40 s left


def read() -> dict[str, float]:
    """Name of a stage or step: the seconds that it took when it last ran here; empty where nothing is known."""
    try:
        kept = read_json(PLACE) if PLACE.exists() else {}
    except AnnealError:  # it is only an estimate
        return {}
    return {str(name): float(taken) for name, taken in kept.items() if isinstance(taken, int | float)}


def keep(name: str, seconds: float) -> None:
    """Remember that `name` took `seconds`."""
    write_json(PLACE, dict(sorted({**read(), name: round(seconds, 1)}.items())))


def left_in(line: str) -> float | None:
    """The seconds left that a line of a stage names; None where it names none."""
    match = LEFT.search(line)
    if match is None:
        return None
    hours, minutes, seconds, plain = (int(part or 0) for part in match.groups())
    return float(plain or hours * 3600 + minutes * 60 + seconds)


@dataclass(frozen=True)
class Ahead:
    """What is still to run, in its order, and what each took the last time."""

    names: tuple[str, ...] = ()
    taken: Mapping[str, float] = field(default_factory=dict)
    stages: tuple[str, ...] = ()  # those of `names` that are stages of the DAG

    def after(self, done: Iterable[str]) -> "Ahead":
        """What is ahead once `done` are."""
        gone = set(done)
        return Ahead(tuple(name for name in self.names if name not in gone), self.taken, self.stages)

    def left(self, running: str | None, elapsed: float, own_estimate: float | None) -> float | None:
        """Seconds until the end, where `running` has run for `elapsed` and says itself that `own_estimate` are left;
        None where something ahead has never run here.
        """
        if any(name not in self.taken for name in self.names if name != running or own_estimate is None):
            return None
        seconds = {name: self.taken[name] for name in self.names if name != running}
        if own_estimate is not None:
            return sum(seconds.values()) + own_estimate
        return sum(seconds.values()) + max(0.0, self.taken.get(running or "", 0.0) - elapsed)

    def in_words(self, running: str | None, elapsed: float, own_estimate: float | None) -> str:
        """How long is left, or why that is not known; empty where nothing is ahead."""
        if not self.names:
            return ""
        left = self.left(running, elapsed, own_estimate)
        if left is not None:
            return f"about {roughly(left)} left"
        new = [name for name in self.names if name not in self.taken]
        why = "first run" if len(new) == len(self.names) else f"{new[0]} has not run here before"
        of_this = f"about {roughly(own_estimate)} left of this; " if own_estimate else ""
        return f"{of_this}{why}: no overall estimate yet"


def roughly(seconds: float) -> str:
    """A duration that is estimated: `40 s`, `6 min`, `1 h 10 min`."""
    if seconds < 55:
        return f"{max(5, 5 * round(seconds / 5))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def exactly(seconds: float) -> str:
    """A duration that was measured: `3 s`, `10 min 4 s`."""
    whole = round(seconds)
    return f"{whole} s" if whole < 60 else f"{whole // 60} min {whole % 60} s"
