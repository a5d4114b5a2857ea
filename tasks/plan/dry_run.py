"""A few steps of a training in a process of its own, which keeps nothing: `python -m tasks.plan.dry_run triage --parent
models/smollm2/weights --prepared data/prepared/labelled_tickets`. The last line of its output is a result (result.py).
"""

import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tasks import stage
from tasks.plan import amounts, before, disk, fitting, memory, result
from tasks.plan.amounts import Amounts
from tasks.plan.result import Result
from tasks.stages.train.params import Train

if TYPE_CHECKING:
    from tasks.stages.train.checkpoints import LearntWeights
    from tasks.stages.train.ready import Ready


def dry_run(params: Train, parent: Path, prepared: Path, checkpoints: Path) -> None:
    """Print what a run comes to whose checkpoints would be in the folder `checkpoints`."""
    from tasks.stages.train.fit import make_trainer
    from tasks.stages.train.ready import ready

    begun = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="anneal-plan-") as folder:
        prepared_rows = ready(params, parent, prepared)
        alone = params.model_copy(update={"load_best_model_at_end": False, "fsdp": False})
        trainer, _ = make_trainer(alone, parent, prepared_rows.processor, prepared_rows.rows, Path(folder), prepared)
        before.load_trackers()
        counted = amounts.count(params, trainer, prepared_rows.rows)
        start = time.perf_counter() - begun
        made = _measured(params, trainer, prepared_rows, counted, start)
    print(result.to_json(replace(made, disk_free=disk.free(checkpoints))))


def _measured(params: Train, trainer: "LearntWeights", begun: "Ready", counted: Amounts, start: float) -> Result:
    from tasks.plan import timed

    loaded, limit = memory.peak(), memory.free() + memory.taken()
    measured = fitting.measure(params, trainer, begun.rows, counted)
    times = timed.times(params, trainer, begun.rows, counted, start) if measured.fits else None
    written = measured.peak if trainer.answers_at_once else 0  # its few steps may have had short answers
    return Result(
        amounts=counted,
        lengths=tuple(sorted(len(row["input_ids"]) for row in begun.rows["train"])),
        left_out=begun.counts["rows_left_out"],
        held_out=len(begun.rows["validation"]),
        decayed=_decayed(params, trainer),
        times=times,
        peak=max(loaded, written, memory.peak()) if measured.fits else measured.peak,
        limit=limit,
        largest=measured.needs.largest(limit),
        advice="" if measured.fits else fitting.advice(params, measured),
        disk=disk.needed(params, counted.trained, counted.evaluations),
        disk_free=0,
    )


def _decayed(params: Train, trainer: "LearntWeights") -> int:
    """The number of learnt weights that a weight decay applies to: transformers leaves out biases and norms."""
    names = set(trainer.get_decay_parameter_names(trainer.model))
    return sum(weight.numel() for name, weight in trainer.learnt().items() if name in names)


if __name__ == "__main__":
    stage.main(dry_run, Train, "models.{row}.train")
