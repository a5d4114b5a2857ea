"""The state of a version between two checks: pools, wealth, and which records were read. One file, written
atomically.
"""

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TypedDict

import numpy as np

from tasks.files import read_json, write_json
from tasks.monitor import martingale
from tasks.monitor.checks_table import MonitorCheck
from tasks.monitor.logged_requests import Window
from tasks.monitor.martingale import Floats, Ints
from tasks.monitor.scores import Scores
from tasks.monitor.streams import Stream

HOME = Path(".anneal/monitor")
YEAR = 365.25 * 86400
QUALITY = ("quality", "label")  # kinds of streams that are always ranked among the evaluation


class Alarm(TypedDict):
    """When an alarm was raised, and why."""

    at: float
    reasons: list[str]


@dataclass(frozen=True)
class MonitorState:
    """`counts` (streams, BINS) and `wealth` (streams, BETS) as lists; `check` of `checks` in the year that began at
    `year`.
    """

    names: list[str]
    counts: list[list[int]]
    wealth: list[list[float]]
    check: int
    checks: int
    year: float
    fresh: bool = False
    requests: Window = field(default_factory=Window)
    labels: Window = field(default_factory=Window)
    kinds: list[str] = field(default_factory=list)  # of requests that are not judged, seen so far
    alarm: Alarm | None = None  # the one that stands
    row: MonitorCheck | None = None  # of the last check, as it is or soon will be in the records


def state_folder(home: Path, task: str, artifact: str) -> Path:
    """Return the folder of one version's state."""
    return home / f"{task}-{artifact[:12]}"


def begin(scores: Scores, checks: int, now: float, fresh: bool) -> MonitorState:
    """Return the state before the first check. `fresh`: the version answers an alarm, so its own traffic becomes the
    reference for requests.
    """
    counts = scores.pool()
    if fresh:
        counts[[stream.kind not in QUALITY for stream in scores.streams]] = 0
    return MonitorState(
        scores.names, counts.tolist(), np.zeros((len(scores.names), martingale.BETS)).tolist(), 0, checks, now, fresh
    )


def load(folder: Path, scores: Scores) -> MonitorState | None:
    """Return the state in `folder`; None if there is none, or if its streams are those of an older version of
    Anneal.
    """
    file = folder / "state.json"
    if not file.exists():
        return None
    value = read_json(file)
    if value["names"] != scores.names:
        return None
    windows = {name: Window(**value[name]) for name in ("requests", "labels")}
    row = value.get("row")
    check = MonitorCheck(**{**row, "reasons": tuple(row["reasons"])}) if row else None
    return MonitorState(**{**value, **windows, "row": check})


def save(folder: Path, state: MonitorState) -> None:
    """Write `state` to `folder`, atomically."""
    write_json(folder / "state.json", asdict(state))


def advance(state: MonitorState, streams: list[Stream], bins: Ints, draws: Floats, now: float) -> MonitorState:
    """Return the state after one more check with `bins` and `draws` (events, streams); a new year begins with new
    wealth.
    """
    wealth, check, year = np.array(state.wealth), state.check, state.year
    if now - year >= YEAR:
        wealth, check, year = np.zeros_like(wealth), 0, now
    spread = martingale.prior([stream.side for stream in streams])
    wealth = martingale.begin(wealth, spread, check + 1, state.checks)
    counts, wealth = martingale.follow(
        np.array(state.counts), wealth, spread, np.array([stream.cut for stream in streams]), bins, draws
    )
    return replace(state, counts=counts.tolist(), wealth=wealth.tolist(), check=check + 1, year=year)


def evidence(state: MonitorState, streams: list[Stream]) -> dict[str, float]:
    """Return log10 of each group's wealth: the mean over its streams, cash included."""
    totals = np.array(state.wealth).sum(axis=1) + martingale.cash(state.check, state.checks)
    groups = dict.fromkeys(stream.group for stream in streams)
    return {
        group: float(
            np.log10(
                np.mean([total for total, stream in zip(totals, streams, strict=True) if stream.group == group])
                + 1e-300
            )
        )
        for group in groups
    }
