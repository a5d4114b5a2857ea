"""The seconds of a run, by a few of its steps, evaluations and a checkpoint, as transformers makes them."""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from tasks import objectives
from tasks.dataset.encoded import Encoded
from tasks.plan import amounts, disk, memory
from tasks.plan.amounts import Amounts, Rows
from tasks.plan.result import Times
from tasks.stages.train.params import Train
from tasks.stages.train.schedule import Unfreezing

if TYPE_CHECKING:
    from tasks.stages.train.checkpoints import LearntWeights

STEPS = 6  # after the first one, which is slower
ACCUMULATED = 2  # batches of a step, if it has several: more take no other memory
WRITABLE = 2 * memory.GIB  # a larger checkpoint is not tried
WRITE_SPEED = 500e6  # bytes a second, for it
LOGGED_EVERY, A_LINE = 5, 0.03  # steps between two lines to MLflow, and the seconds of one


class Step(NamedTuple):
    """The seconds of a step: of its batches, and of the optimizer."""

    batches: float
    optimizer: float


class Clock(TrainerCallback):  # type: ignore[misc]
    """Measures each step."""

    def __init__(self) -> None:
        self.begun = self.learnt = 0.0
        self.steps: list[Step] = []

    def on_step_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        """Begin."""
        self.begun = now()

    def on_pre_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object
    ) -> None:
        """The gradients are there."""
        self.learnt = now()

    def on_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object
    ) -> None:
        """The weights have moved."""
        self.steps.append(Step(self.learnt - self.begun, now() - self.learnt))


def now() -> float:
    """The time in seconds when all that was asked of a GPU is done."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def times(params: Train, trainer: "LearntWeights", rows: Rows, counted: Amounts, start: float) -> Times:
    """The times of a run; `trainer` has learnt a little afterwards."""
    for callback in list(trainer.callback_handler.callbacks):
        if type(callback).__module__.startswith("tasks.") and not isinstance(callback, Unfreezing):
            trainer.remove_callback(callback)
    trainer.args.eval_strategy = trainer.args.save_strategy = "no"
    clock = Clock()
    trainer.add_callback(clock)
    if objectives.online(params.objective):
        training, evaluation = _by_a_rollout(params, trainer, rows, counted)
    else:
        training = _by_steps(params, trainer, clock, rows, counted)
        evaluation = _by_batches(params, trainer, rows["validation"], counted)
    lines = counted.steps / LOGGED_EVERY * A_LINE
    return Times(start, training + lines, evaluation * counted.evaluations, _saved(params, trainer, counted))


def _by_steps(params: Train, trainer: "LearntWeights", clock: Clock, rows: Rows, counted: Amounts) -> float:
    """The seconds of all steps: of the largest batch, which is not counted, then of batches of all lengths."""
    lengths, size = [len(row["input_ids"]) for row in rows["train"]], params.per_device_train_batch_size
    accumulated = min(ACCUMULATED, params.gradient_accumulation_steps)
    whole = [batch for batch in amounts.read(params, lengths) if len(batch) == size]
    batches = [list(counted.largest), *spread(whole, lengths)] if whole else [list(counted.largest)]
    trainer._get_train_sampler = lambda *_: [place for batch in batches for place in batch * accumulated]
    trainer.args.gradient_accumulation_steps = accumulated
    trainer.args.max_steps = len(batches)
    trainer.train()
    steps = clock.steps[1:] or clock.steps
    cells = [accumulated * amounts.cells(batch, lengths) for batch in batches][-len(steps) :]
    a_cell = sum(step.batches for step in steps) / sum(cells)
    return a_cell * counted.cells + counted.steps * sum(step.optimizer for step in steps) / len(steps)


def spread(batches: Sequence[list[int]], lengths: Sequence[int]) -> list[list[int]]:
    """Some of the batches, from those with few cells to those with many: each stands for as many others."""
    ordered = sorted(batches, key=lambda batch: amounts.cells(batch, lengths))
    count = min(STEPS, len(ordered))
    return [ordered[int((number + 0.5) * len(ordered) / count)] for number in range(count)]


def _by_batches(params: Train, trainer: "LearntWeights", rows: Sequence[Encoded], counted: Amounts) -> float:
    """The seconds of an evaluation: of its largest batch, which is not counted, then of a few others."""
    size = params.per_device_train_batch_size
    lengths = [len(row["input_ids"]) for row in rows]
    parts = [list(range(start, min(start + size, len(rows)))) for start in range(0, len(rows), size)]
    largest = max(parts, key=lambda part: amounts.cells(part, lengths))
    seconds, cells = 0.0, 0
    for number, part in enumerate([largest, *spread(parts, lengths)]):
        begun = now()
        trainer.evaluate([rows[place] for place in part])
        if number:
            seconds, cells = seconds + now() - begun, cells + amounts.cells(part, lengths)
    return seconds / cells * counted.held_out_cells


def _by_a_rollout(params: Train, trainer: "LearntWeights", rows: Rows, counted: Amounts) -> tuple[float, float]:
    """(the seconds of all steps, of an evaluation), by one writing of answers and the steps that learn from them."""
    plan = getattr(trainer, "plan", None)
    steps = plan.steps_each if plan else trainer.args.steps_per_generation * trainer.num_iterations
    trainer.args.max_steps = steps
    begun = now()
    trainer.train()
    seconds = now() - begun
    written = plan.size if plan else trainer.args.generation_batch_size
    return seconds * counted.steps / steps, seconds * len(rows["validation"]) / written


def _saved(params: Train, trainer: "LearntWeights", counted: Amounts) -> float:
    """The seconds of all checkpoints, by one."""
    size = disk.checkpoint(params, counted.trained)
    if size > WRITABLE:
        return counted.evaluations * size / WRITE_SPEED
    begun = now()
    trainer._save_checkpoint(trainer.model, trial=None)
    return counted.evaluations * (now() - begun)
