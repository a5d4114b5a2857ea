"""A range test (Smith 2015, arXiv:1506.01186, section 3.3): the rate rises from step to step, and the loss says from
which rate on a model learns and from which it diverges.
"""

import math
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tasks import objectives, tuners
from tasks.errors import AnnealError, ParamsError
from tasks.stages.train.params import Train

if TYPE_CHECKING:
    from transformers import TrainerCallback

    from tasks.stages.train.checkpoints import LearntWeights

DIVERGED = 4.0  # times the lowest smoothed loss, as in fastai's lr_find
MEMORY = 0.9  # of the smoothed loss for what came before: about the last ten steps
FEWEST = 20  # steps from which a slope can be told


class Range(NamedTuple):
    """Rates from `low` to `high`, one a step, equally far apart on a logarithmic scale."""

    low: float = 1.0e-6
    high: float = 1.0
    steps: int = 100

    def rate(self, step: int) -> float:
        """The rate of a step, counted from 0."""
        return float(self.low * (self.high / self.low) ** (min(step, self.steps - 1) / (self.steps - 1)))


class Point(NamedTuple):
    """A step: its rate, the loss of its rows before it, and that loss smoothed."""

    rate: float
    loss: float
    smoothed: float


def smoothed(losses: list[float]) -> list[float]:
    """Exponentially weighted means of the losses so far, without the pull towards 0 of the first ones."""
    mean, means = 0.0, []
    for number, loss in enumerate(losses, 1):
        mean = MEMORY * mean + (1 - MEMORY) * loss
        means.append(mean / (1 - MEMORY**number))
    return means


def run(params: Train, parent: Path, prepared: Path, rates: Range) -> list[Point]:
    """Train on the rows with the model's own objective, tuner and batches at rising rates; nothing is kept of it.

    It ends where the loss diverges. Raises ParamsError for an objective without a loss that falls, AnnealError if a
    loss is not finite from the first step on.
    """
    refuse(params, rates)
    with tempfile.TemporaryDirectory(prefix="anneal-lr-find-") as folder:
        trainer = _trainer(params, parent, prepared, Path(folder), rates)
        losses: list[float] = []
        trainer.add_callback(_recorder(losses))
        trainer.train()
    if not losses:
        raise AnnealError(
            "the loss is not finite at the lowest rate already: the base or the rows are at fault, or fp16; no "
            "learning rate would help."
        )
    return [Point(rates.rate(step), *both) for step, both in enumerate(zip(losses, smoothed(losses), strict=True))]


def refuse(params: Train, rates: Range) -> None:
    """Raise ParamsError for what a range test cannot be made of."""
    if objectives.online(params.objective):
        raise ParamsError(
            f"params.yaml: train.objective.kind is {params.objective.kind}, whose loss says nothing of how well it "
            "learns (its reward does): compare rates by short trainings (make sweep)."
        )
    if not getattr(tuners.of(params.tuner), "learns", True):
        raise ParamsError(f"params.yaml: train.tuner.kind is {params.tuner.kind}, which learns nothing at any rate.")
    if not 0 < rates.low < rates.high <= 10:
        raise ParamsError(
            f"rates from {rates.low:g} to {rates.high:g}: give a LOW above 0 and a HIGH above it, at most 10."
        )
    if rates.steps < FEWEST:
        raise ParamsError(f"{rates.steps} steps are too few for a slope: give STEPS of at least {FEWEST}.")


def _trainer(params: Train, parent: Path, prepared: Path, folder: Path, rates: Range) -> "LearntWeights":
    """The Trainer of the stage `train`, without its evaluations, checkpoints, early stopping and records."""
    from tasks.stages.train.fit import make_trainer
    from tasks.stages.train.ready import ready
    from tasks.stages.train.schedule import Unfreezing

    begun = ready(params, parent, prepared)
    alone = params.model_copy(update={"load_best_model_at_end": False, "report_to": [], "fsdp": False})
    trainer, _ = make_trainer(alone, parent, begun.processor, begun.rows, folder, prepared)
    trainer.args.eval_strategy = trainer.args.save_strategy = "no"
    trainer.args.logging_steps, trainer.args.max_steps = 1, rates.steps
    trainer.schedule = lambda step, _: rates.rate(step) / params.learning_rate
    for callback in list(trainer.callback_handler.callbacks):
        if type(callback).__module__.startswith("tasks.") and not isinstance(callback, Unfreezing):
            trainer.remove_callback(callback)
    return trainer


def _recorder(losses: list[float]) -> "TrainerCallback":
    """A callback that adds the loss of each step, and ends the test where the loss diverges."""
    from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

    class Recorder(TrainerCallback):  # type: ignore[misc]
        def on_log(
            self,
            args: TrainingArguments,
            state: TrainerState,
            control: TrainerControl,
            logs: dict[str, float] | None = None,
            **_: object,
        ) -> None:
            loss = (logs or {}).get("loss")
            if loss is None:
                return
            if not math.isfinite(loss):
                control.should_training_stop = True
                return
            losses.append(loss)
            means = smoothed(losses)
            if len(losses) > FEWEST // 2 and means[-1] > DIVERGED * min(means):
                control.should_training_stop = True

    return Recorder()
