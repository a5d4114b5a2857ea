"""Stops a training by reward that hacks its reward (tasks/stages/train/hacking.py), and keeps the best weights from
before the steps in which it did, of those whose evaluation is within the limits.
"""

import sys
from collections.abc import Mapping
from pathlib import Path

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from tasks.errors import AnnealError
from tasks.models.prompted import Limits
from tasks.stages.train.hacking import Trouble, hacked, runaway, spoilt


class Guard(TrainerCallback):  # type: ignore[misc]
    """Judges what each step logs; all it knows is in the Trainer's log, so a resumed run is judged alike."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.sentence = ""  # what has stopped the run
        self.kept = 0  # step of the weights that are kept then

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, float] | None = None,
        **_: object,
    ) -> None:
        """Stop the run if something is wrong; nothing of this step is evaluated or saved then."""
        if "loss" not in (logs or {}):
            return  # an evaluation, or the end
        points = [entry for entry in state.log_history if "reward" in entry]
        trouble = runaway(self.limits, points)
        is_window = len(points) % self.limits.window == 0 and "reward" in (logs or {})
        if not trouble and (is_window or state.global_step % state.eval_steps == 0):
            looks = state.max_steps // self.limits.window + state.max_steps // state.eval_steps
            trouble = hacked(self.limits, points, looks)
        if trouble:
            self._stop(trouble, args, state, control)

    def _stop(self, trouble: Trouble, args: TrainingArguments, state: TrainerState, control: TrainerControl) -> None:
        measured = self._in_order(trouble.since, args, state)
        if not measured:
            raise AnnealError(
                f"training stopped at step {state.global_step}, and no checkpoint is from before: {trouble.words}; "
                "correct the rewards, or set a lower learning_rate, a stronger penalty for departing from the parent, "
                "other limits or smaller eval_steps in params.yaml."
            )
        self.kept = min(measured)[1]
        state.best_model_checkpoint = str(Path(args.output_dir) / f"checkpoint-{self.kept}")
        args.load_best_model_at_end = True  # also where the last weights would be kept
        control.should_training_stop = True
        control.should_evaluate = control.should_save = False
        self.sentence = (
            f"training stopped at step {state.global_step}: {trouble.words}; the weights of step {self.kept}, the best "
            "from before, are kept"
        )
        print(self.sentence, file=sys.stderr, flush=True)

    def _in_order(self, since: int, args: TrainingArguments, state: TrainerState) -> list[tuple[float, int]]:
        """(what is watched, the lower the better; the step) of each evaluation before the step `since`, without those
        that are beyond a limit: the reward may have risen by what the trainer has not found significant yet.
        """
        watched, sign = args.metric_for_best_model, -1 if args.greater_is_better else 1
        told = [entry for entry in state.log_history if watched in entry]
        return [
            (sign * entry[watched], int(entry["step"]))
            for entry in told
            if entry["step"] < since and not spoilt(self.limits, told[0], entry)
        ]
