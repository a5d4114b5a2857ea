"""The finalists of a sweep, and the model's present settings: trained in full, and measured on every row."""

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tasks.errors import AnnealError
from tasks.files import read_json
from tasks.sweeps import children, progress, space, study, words
from tasks.sweeps.children import Child
from tasks.sweeps.judge import PRESENT, Finalist
from tasks.sweeps.place import Place
from tasks.sweeps.task import RESULT, RUN, Result, Task
from tasks.sweeps.tracked import NOTE, Tracked
from tasks.sweeps.trials import POLL

if TYPE_CHECKING:
    from optuna import Study

SHOW_EVERY = 5.0  # seconds between lines of progress


class Candidate(NamedTuple):
    """Settings to be trained in full."""

    name: str
    number: int | None
    settings: dict[str, space.Value]
    folder: Path


def candidates(place: Place, opened: "Study") -> list[Candidate]:
    """The best trials, best first, and the present settings, if they are not among them."""
    chosen: list[tuple[str, int | None, dict[str, space.Value]]] = [
        (str(trial.number + 1), trial.number, space.completed(place.sweep, trial.params))
        for trial in study.best(opened, place.sweep.finalists)
    ]
    own = {key: space.own_value(place.own, key) for key in place.sweep.space}
    present = {key: value for key, value in own.items() if value is not None}
    as_drawn = {key: space.rounded(value) for key, value in present.items()}
    named = [(PRESENT if settings == as_drawn else name, number, settings) for name, number, settings in chosen]
    if all(name != PRESENT for name, _, _ in named):
        named.append((PRESENT, None, present))
    return [Candidate(name, number, settings, _folder(place, settings)) for name, number, settings in named]


def _folder(place: Place, settings: dict[str, space.Value]) -> Path:
    key = json.dumps(settings, sort_keys=True)
    return place.home / "finals" / hashlib.sha256(key.encode()).hexdigest()[:12]


def run(
    place: Place, chosen: Sequence[Candidate], tracked: Tracked, side_by_side: int, say: Callable[[str], None]
) -> list[Finalist]:
    """Train what is not trained yet, each from its last checkpoint; AnnealError if one of them fails."""
    waiting = [entry for entry in chosen if not (entry.folder / RESULT).exists()]
    running: list[tuple[Candidate, Child]] = []
    shown = time.monotonic()
    try:
        while waiting or running:
            while waiting and len(running) < side_by_side:
                running.append(_begin(place, waiting.pop(0), tracked, side_by_side, running))
            for entry, child in [pair for pair in running if pair[1].process.poll() is not None]:
                running.remove((entry, child))
                _settle(entry, child, tracked, say)
            if running and time.monotonic() - shown >= SHOW_EVERY:
                shown = time.monotonic()
                (entry, child), number = running[0], len(chosen) - len(waiting) - len(running) + 1
                if line := progress.of_finalist(entry.name, number, len(chosen), child, side_by_side):
                    say(line)
            time.sleep(POLL)
    finally:
        for _, child in running:
            child.stop()
    return [_finalist(entry) for entry in chosen]


def _begin(
    place: Place,
    entry: Candidate,
    tracked: Tracked,
    side_by_side: int,
    running: Sequence[tuple[Candidate, Child]],
) -> tuple[Candidate, Child]:
    section = space.applied(place.own, entry.settings)
    tracked.begin(f"finalist {entry.name}", entry.folder / RUN, entry.settings)
    task = Task(section.model_dump(), str(place.parent), str(place.rows), in_full=True)
    taken = {child.place for _, child in running}
    free = next(number for number in range(side_by_side) if number not in taken)
    return entry, children.begin(entry.folder, task, free, side_by_side)


def _settle(entry: Candidate, child: Child, tracked: Tracked, say: Callable[[str], None]) -> None:
    run = (entry.folder / RUN / NOTE).read_text(encoding="utf-8")
    if (result := child.result()) is None:
        tracked.end(run, "failed", {})
        raise AnnealError(f"finalist {entry.name} could not be trained in full: {child.problem()}")
    figures = {name: float(value) for name, value in result.items() if isinstance(value, int | float)}
    means = {name: sum(result[name]) / len(result[name]) for name in ("shown", "held_back")}
    tracked.end(run, "complete", {**figures, **means})
    shutil.rmtree(entry.folder / RUN)  # its checkpoints: the pipeline trains the winner itself
    say(f"in full: {entry.name} ({words.settings(entry.settings)}): {means['held_back']:.4f} on rows held back")


def _finalist(entry: Candidate) -> Finalist:
    result: Result = read_json(entry.folder / RESULT)
    return Finalist(
        entry.name,
        entry.number,
        entry.settings,
        result["shown"],
        result["held_back"],
        result["training"] + result["evaluating"],
        result["memory"],
    )
