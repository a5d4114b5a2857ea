"""What a training says of itself before its first step; it refuses what does not fit on the disk or in memory."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tasks import tuners
from tasks.dataset.encoded import Encoded
from tasks.errors import AnnealError
from tasks.plan import amounts, disk, fitting, memory, past, words
from tasks.plan.amounts import Amounts
from tasks.plan.fitting import Measured
from tasks.stages.train.params import Train

if TYPE_CHECKING:
    from tasks.stages.train.checkpoints import LearntWeights

Rows = Mapping[str, Sequence[Encoded]]
FORWARD_SHARE = 0.35  # of a training batch's time: an evaluation has no backward pass
STEP_BYTES, STEP_SPEED = 28, 8.0e9  # read and written for a weight in a step of Adam in fp32; a second


@dataclass(frozen=True)
class Plan:
    """What is expected of a run; None where it cannot be known."""

    key: str
    amounts: Amounts
    seconds: float | None
    peak: int | None  # bytes
    by: str  # what the expectation follows from
    peak_before: int  # bytes, until now


def announce(params: Train, trainer: "LearntWeights", rows: Rows, run: Path) -> Plan:
    """Print the plan of the run whose checkpoints go to the folder `run`; AnnealError if it cannot fit."""
    counted = amounts.count(params, trainer, rows)
    if not getattr(tuners.of(params.tuner), "learns", True):
        return Plan("", counted, None, None, "", memory.peak())
    _refuse_full_disk(params, counted, run)
    load_trackers()
    key, peak_before = past.key(params, counted), memory.peak()
    known = past.last(run.parent, key)
    measured = None
    if trainer.args.world_size == 1:
        measured = fitting.measure(params, trainer, rows, counted)
        fitting.refuse(params, measured)
    seconds: float | None = None
    peak, by = None, ""
    if known:
        seconds, peak, by = known.seconds_for(counted), known.peak, "the last run here"
    elif measured and measured.cost:
        seconds, peak = _seconds(measured, counted), max(peak_before, measured.peak)
        by = "the longest answers" if trainer.answers_at_once else "its largest batch"
    return _announced(Plan(key, counted, seconds, peak, by, peak_before), trainer)


def _announced(plan: Plan, trainer: "LearntWeights") -> Plan:
    if trainer.is_world_process_zero():
        print(words.line(plan.amounts, plan.seconds, plan.peak, plan.by), file=sys.stderr, flush=True)
    return plan


def finished(plan: Plan, run: Path, steps: int, seconds: float) -> dict[str, float]:
    """Keep in the journal what so many `steps` took; return what timing.json says of the plan."""
    peak, work = max(plan.peak_before, memory.peak()), plan.amounts.work * steps // plan.amounts.steps
    if work:
        past.keep(run.parent, past.Run(plan.key, work, round(seconds, 3), peak))
    expected = {"planned_seconds": plan.seconds, "planned_memory_gib": plan.peak and plan.peak / memory.GIB}
    told = {name: round(value, 3) for name, value in expected.items() if value is not None}
    return {"memory_gib": round(peak / memory.GIB, 3), **told}


def _refuse_full_disk(params: Train, counted: Amounts, run: Path) -> None:
    needed = disk.needed(params, counted.trained, counted.evaluations)
    free = disk.free(run) + disk.used(run)
    if needed + disk.SPARE > free:
        raise AnnealError(
            f"the training does not fit on the disk of {run.parent}: {words.size(needed)} are needed for checkpoints "
            f"and results, and {words.size(free)} are free; free some (`dvc gc -w` clears the cache), or train fewer "
            "weights (a tuner like lora)."
        )


def load_trackers() -> None:
    """Load what a training loads when it begins, so that its memory is part of what is measured before."""
    import mlflow.store.tracking.sqlalchemy_store  # noqa: F401


def _seconds(measured: Measured, counted: Amounts) -> float | None:
    """The seconds of a run, by its largest batch: time grows with the cells that are computed. None if these are not
    known, as of answers that are to be written.
    """
    assert measured.cost is not None
    if not counted.cells:
        return None
    a_cell = measured.cost.seconds / measured.cells
    evaluated = FORWARD_SHARE * counted.held_out_cells * counted.evaluations
    steps = counted.steps * counted.trained * STEP_BYTES / STEP_SPEED
    return a_cell * (counted.cells + evaluated) + steps
