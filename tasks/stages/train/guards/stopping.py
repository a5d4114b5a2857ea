"""SIGTERM, as schedulers and `docker stop` send it: the training saves after the step that is being made, and leaves.

An evaluation that is due then, or is being made, is made by the run that continues. A step that takes longer than LIMIT
seconds is left where it is: the last checkpoint is whole.
"""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import torch
from transformers import EarlyStoppingCallback, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from tasks.errors import AnnealError
from tasks.stages.train.guards.steps import JudgedSteps

LIMIT = 25.0  # seconds; Kubernetes kills after 30
STATUS = 128 + signal.SIGTERM


class Interrupted(AnnealError):
    """A training that was asked to leave, and did."""

    exit_status = STATUS


class EvaluationLeft(Exception):
    """An evaluation was left because of SIGTERM."""


class Leaves(JudgedSteps):
    """A Trainer that leaves at SIGTERM, and continues where it left."""

    stopping: "Stopping | None" = None

    def continues_from(self, step: int) -> bool:
        """Whether a checkpoint of `step` is enough to continue exactly."""
        return True

    def listens(self) -> "Stopping":
        """What hears SIGTERM while this trains."""
        self.stopping = Stopping(self)
        self.add_callback(self.stopping)
        return self.stopping

    def any_process(self, flag: bool) -> bool:
        """Whether `flag` is set in any of the processes that train together."""
        if self.args.world_size == 1:
            return flag
        return bool(self.accelerator.reduce(torch.tensor(float(flag), device=self.args.device), "sum"))

    def _maybe_log_save_evaluate(self, *args: object, **kwargs: object) -> None:
        before = torch.get_rng_state()  # making batches draws a number
        try:
            super()._maybe_log_save_evaluate(*args, **kwargs)
        except EvaluationLeft:
            assert self.stopping is not None
            torch.set_rng_state(before)
            self.stopping.save_and_leave()

    def _run_epoch(self, **kwargs: object) -> None:
        """An epoch; before it, what the run that left still had to do."""
        if self.evaluation_is_due:
            self.evaluation_is_due = False
            self._load_rng_state(kwargs["resume_from_checkpoint"])
            self.control.should_log, self.control.should_evaluate, self.control.should_save = False, True, True
            given = {name: kwargs[name] for name in ("model", "trial", "epoch", "ignore_keys_for_eval", "start_time")}
            self._maybe_log_save_evaluate(self._tr_loss, None, **given)
        for callback in self.callback_handler.callbacks:
            if isinstance(callback, EarlyStoppingCallback):
                is_used_up = callback.early_stopping_patience_counter >= callback.early_stopping_patience
                self.control.should_training_stop |= is_used_up
        if not self.control.should_training_stop:
            super()._run_epoch(**kwargs)


class Stopping(TrainerCallback):  # type: ignore[misc]
    """Saves and leaves once SIGTERM has come."""

    def __init__(self, trainer: Leaves) -> None:
        self.trainer = trainer
        self.asked = self.leaves = False
        self.timer = threading.Timer(LIMIT, self._leave_at_once)
        self.timer.daemon = True

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Within this, SIGTERM means to save and leave; the second one ends the process at once."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.signal(signal.SIGTERM, self._hear)
        try:
            yield
        finally:
            self.timer.cancel()
            signal.signal(signal.SIGTERM, before)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        self.asked = True
        self.timer.start()

    def _leave_at_once(self) -> None:
        print(f"error: {self._words()}", file=sys.stderr, flush=True)
        os._exit(STATUS)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        """Have this step saved, if a run can continue from it."""
        if not self.trainer.any_process(self.asked):
            return
        if not self.trainer.continues_from(state.global_step):
            raise Interrupted(self._words())
        self.trainer.evaluation_is_due = control.should_evaluate
        args.save_total_limit = None  # what guards may go back to stays
        control.should_save, control.should_evaluate, self.leaves = True, False, True

    def on_prediction_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object
    ) -> None:
        """Leave an evaluation; of several processes, after it."""
        if self.asked and self.trainer.is_in_train and args.world_size == 1:
            raise EvaluationLeft

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        """Leave with this checkpoint."""
        if self.leaves:
            raise Interrupted(self._words())

    def save_and_leave(self) -> None:
        """Save in the middle of an evaluation."""
        self.trainer.evaluation_is_due = self.leaves = True
        self.trainer.args.save_total_limit = None
        self.trainer._save_checkpoint(self.trainer.model, None)
        raise Interrupted(self._words())

    def _words(self) -> str:
        whole = Path(self.trainer.args.output_dir).glob("checkpoint-*/trainer_state.json")
        steps = [int(file.parent.name.partition("-")[2]) for file in whole]
        if not steps:
            return "stopped by SIGTERM before the first checkpoint; the next run begins again."
        return f"stopped by SIGTERM; checkpoint-{max(steps)} is saved, and the next run continues from there."
