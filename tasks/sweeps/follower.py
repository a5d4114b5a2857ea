"""A Trainer callback that writes down each evaluation of a trial, and ends the trial when its time is over."""

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TypedDict

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments


class Times(TypedDict):
    """Where the time of a trial went, in seconds, and whether it ran out."""

    startup: float
    training: float
    evaluating: float
    cut: bool


class Follower(TrainerCallback):  # type: ignore[misc]
    """Adds a line to the file `lines` at each evaluation; `seconds` is the time from the start of the process,
    `probe` from the first step.

    No checkpoint is written unless it `keeps` them: nothing resumes a trial, and one that is pruned leaves nothing.
    """

    def __init__(self, lines: Path, measure: str, seconds: float | None, probe: float | None, keeps: bool) -> None:
        self.lines, self.measure, self.keeps = lines, measure, keeps
        self.seconds, self.probe = seconds, probe
        self.began = self.evaluates_since = 0.0
        self.evaluating = self.longest = 0.0
        self.startup, self.cut, self.number = 0.0, False, 0

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object
    ) -> None:
        """Start the clock; forget evaluations after the checkpoint that the training resumes from."""
        self.began, self.startup = time.monotonic(), age()
        lines = self.lines.read_text(encoding="utf-8").splitlines() if self.lines.exists() else []
        kept = lines[: len(_past(state))]
        self.lines.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")
        self.number = len(kept)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        """Evaluate at the last step, and make this the last one if another and its evaluation may not fit."""
        if not self.keeps:
            control.should_save = False
        training = time.monotonic() - self.began
        pace = (training - self.evaluating) / max(state.global_step, 1)
        is_over = self.probe is not None and training > self.probe
        if is_over or (self.seconds is not None and age() + pace + self.longest > self.seconds):
            self.cut = state.global_step < state.max_steps
            control.should_training_stop = True
        if control.should_training_stop or state.global_step >= state.max_steps:
            control.should_evaluate = True
        self.evaluates_since = time.monotonic()

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: Mapping[str, float] | None = None,
        **_: object,
    ) -> None:
        """Write the value down."""
        taken = time.monotonic() - self.evaluates_since
        self.evaluating, self.longest, self.number = self.evaluating + taken, max(self.longest, taken), self.number + 1
        line = {"number": self.number, "step": state.global_step, "value": (metrics or {})[self.measure]}
        with self.lines.open("a", encoding="utf-8") as file:
            file.write(f"{json.dumps({**line, 'seconds': round(age(), 2)})}\n")

    def times(self) -> Times:
        """Where the time went."""
        training = time.monotonic() - self.began - self.evaluating
        return {
            "startup": round(self.startup, 2),
            "training": round(training, 2),
            "evaluating": round(self.evaluating, 2),
            "cut": self.cut,
        }


def _past(state: TrainerState) -> list[Mapping[str, float]]:
    return [entry for entry in state.log_history if any(name.startswith("eval_") for name in entry)]


def age() -> float:
    """Seconds since this process began, imports included."""
    import psutil

    return time.time() - float(psutil.Process(os.getpid()).create_time())
