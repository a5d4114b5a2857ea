"""What a training of a sweep is told, and what it tells: files of its folder."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypedDict

from tasks.files import write_json

SETTINGS, EVALUATIONS, RESULT, RUN = "settings.json", "evaluations.jsonl", "result.json", "run"


@dataclass(frozen=True)
class Task:
    """What a process is to do: `section` is that of `train`, `seconds` its limit, from when its process started.

    `probe` limits the seconds from its first step, to measure the pace. A training in full keeps checkpoints to resume
    from, and is judged row by row.
    """

    section: dict[str, object]
    parent: str
    prepared: str
    seconds: float | None = None
    probe: float | None = None
    in_full: bool = False


class Result(TypedDict):
    """What a training came to."""

    startup: float  # seconds until its first step
    training: float  # seconds of steps
    evaluating: float  # seconds of all its evaluations
    epochs: float
    steps: int
    tokens_per_second: float
    memory: int  # bytes: of the GPU if there is one, else of the process
    trained: int  # parameters
    cut: bool  # whether its time ran out
    shown: list[float]  # in full: the measure on each validation row, and on each that was held back
    held_back: list[float]


def write_task(task: Task, folder: Path) -> None:
    """Put `task` into `folder`, for a process that begins there."""
    write_json(folder / SETTINGS, asdict(task))


def evaluations(folder: Path, after: int = 0) -> list[dict[str, float]]:
    """The evaluations of a training so far, without the first `after`, and without a line that is not whole yet."""
    try:
        text = (folder / EVALUATIONS).read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in text.rpartition("\n")[0].split("\n")[after:] if line]
