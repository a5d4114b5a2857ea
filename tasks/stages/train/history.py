"""Follows a run: progress on the screen, curves on disk, metrics in MLflow, and an error if the loss is not finite."""

import csv
import io
import math
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from tasks.errors import AnnealError
from tasks.files import write_text
from tasks.stages.train.guard import Guard
from tasks.stages.train.params import Train
from tasks.timings import clock
from tasks.versions import tracking

if TYPE_CHECKING:
    from mlflow import MlflowClient

# What transformers logs besides figures of the training.
UNSEEN = frozenset({"epoch", "step", "num_input_tokens_seen", "total_flos", "train_loss"})
UNSEEN_ENDS = ("_runtime", "_per_second", "_preparation_time")
FIRST = ("step", "loss", "eval_loss", "learning_rate")  # columns of loss.csv; figures of answers follow
SHOW_EVERY = 5.0  # seconds between progress lines where there is no terminal


class History(TrainerCallback):  # type: ignore[misc]
    """A Trainer callback that keeps what each step logs (losses, rates, figures of answers) and shows the pace."""

    def __init__(self, params: Train, run: Path) -> None:
        self.params, self.run = params, run
        self.points: dict[int, dict[str, float]] = {}
        self.tokens = self.tokens_at_start = self.step_at_start = 0
        self.started = self.shown = time.monotonic()
        self.client: MlflowClient | None = None
        self.run_id = ""
        limits = getattr(params.objective, "limits", None)  # of an objective that is rewarded
        self.guard = Guard(limits) if limits else None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object
    ) -> None:
        """Open an MLflow run, or the one that a killed run had begun; start the clock."""
        for entry in state.log_history:  # of the part before a run was resumed
            self._keep(entry, entry["step"])
        self.tokens = self.tokens_at_start = int(state.num_input_tokens_seen)
        self.step_at_start = state.global_step
        self.started = time.monotonic()
        if state.is_world_process_zero:
            self._open_run()

    def measure(self, trainer: Trainer) -> None:
        """Open a run for a model that has nothing to learn, and keep its validation loss as that of step 0."""
        self.on_train_begin(trainer.args, trainer.state, trainer.control)
        trainer.evaluate()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        """Show step, share, tokens per second and time left."""
        self.tokens = int(state.num_input_tokens_seen)
        now = time.monotonic()
        last = state.global_step == state.max_steps
        if not last and now - self.shown < (0.5 if sys.stderr.isatty() else SHOW_EVERY):
            return
        self.shown = now
        done = state.global_step / state.max_steps
        pace = (self.tokens - self.tokens_at_start) / max(now - self.started, 1e-9)
        left = (
            (now - self.started)
            / max(state.global_step - self.step_at_start, 1)
            * (state.max_steps - state.global_step)
        )
        loss = next((f"{p['loss']:.3f}" for _, p in sorted(self.points.items(), reverse=True) if "loss" in p), "…")
        bar = "█" * round(done * 20) + "·" * (20 - round(done * 20))
        line = (
            f"train {bar} {done:4.0%}  step {state.global_step}/{state.max_steps}  loss {loss}  {pace:,.0f} "
            f"tokens/s  {clock(left)} left"
        )
        print(line, end="\r" if sys.stderr.isatty() and not last else "\n", file=sys.stderr, flush=True)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, float] | None = None,
        **_: object,
    ) -> None:
        """Keep the point and send it to MLflow; AnnealError if a loss is not finite."""
        logs = logs or {}
        self._keep(logs, state.global_step)
        point = self.points.get(state.global_step, {})
        for name in ("loss", "eval_loss"):
            if not math.isfinite(point.get(name, 0.0)):
                raise AnnealError(
                    f"the {'training' if name == 'loss' else 'validation'} loss is {point[name]} at step "
                    f"{state.global_step}: lower learning_rate (now {self.params.learning_rate:g}) or max_grad_norm in "
                    "params.yaml, and run again."
                )
        if "eval_loss" in logs:
            share = logs.get("eval_rewards/accuracies")
            words = "" if share is None else f", the chosen answer preferred in {share:.0%} of pairs"
            name = "reward" if "eval_reward" in logs else "loss"
            line = f"validation {name} {logs[f'eval_{name}']:.4f}{words} at step {state.global_step}"
            print(line, file=sys.stderr, flush=True)
        self._send(point, state.global_step)

    def summary(self) -> dict[str, float]:
        """Figures of the whole run: losses, steps and tokens; the validation loss of the kept weights, and its step."""
        points = sorted(self.points.items())
        losses = [point["loss"] for _, point in points if "loss" in point]
        held_out = [(point["eval_loss"], step) for step, point in points if "eval_loss" in point] or [(math.nan, 0)]
        if self.guard and self.guard.kept:
            held_out = [point for point in held_out if point[1] == self.guard.kept]
        kept = min(held_out) if self.params.load_best_model_at_end else held_out[-1]
        return {
            **{name: value for name, value in self.points.get(kept[1], {}).items() if name.startswith("eval_")},
            **({"train_loss": losses[-1]} if losses else {}),
            "eval_loss": kept[0],
            "best_step": kept[1],
            "steps": max(self.points),
            "tokens": self.tokens,
        }

    def stopped(self) -> dict[str, str]:
        """{"stopped": why the run was stopped}, if the guard has stopped it."""
        return {"stopped": self.guard.sentence} if self.guard and self.guard.sentence else {}

    def timing(self) -> dict[str, float]:
        """Seconds and tokens per second of the steps in this process, validation included."""
        seconds = time.monotonic() - self.started
        return {
            "seconds": round(seconds, 1),
            "tokens_per_second": round((self.tokens - self.tokens_at_start) / seconds, 1),
        }

    def write_csv(self, path: Path) -> None:
        """Write the curves: one line per logged step."""
        text = io.StringIO()
        others = sorted({name for point in self.points.values() for name in point} - {*FIRST, "grad_norm"})
        table = csv.DictWriter(text, [*FIRST, *others], extrasaction="ignore", lineterminator="\n")
        table.writeheader()
        table.writerows({"step": step, **point} for step, point in sorted(self.points.items()))
        write_text(path, text.getvalue())

    def finish(self, artifact: str, summary: dict[str, float]) -> None:
        """Close the MLflow run, tagged with the hash of its artifact, by which the registry finds it."""
        self._log(lambda client: client.set_tag(self.run_id, "adapter_sha256", artifact))
        self._send({f"final_{name}": value for name, value in summary.items()}, 0)
        self._log(lambda client: client.set_terminated(self.run_id))

    def fail(self) -> None:
        """Close the MLflow run of a training that has ended without weights."""
        self._log(lambda client: client.set_terminated(self.run_id, "FAILED"))

    def _keep(self, logs: Mapping[str, float], step: int) -> None:
        for name, value in logs.items():
            if isinstance(value, (int, float)) and name not in UNSEEN and not name.endswith(UNSEEN_ENDS):
                self.points.setdefault(step, {})[name] = float(value)

    def _open_run(self) -> None:
        from mlflow.entities import Param

        client = self.client = tracking.client()
        note = self.run / "mlflow_run_id"
        if note.exists():
            self.run_id = note.read_text()
            return
        name = self.run.parent.name
        created = client.create_run(
            tracking.experiment_id(client), run_name=f"train {name}", tags={"model": name, "stage": "train"}
        )
        self.run_id = created.info.run_id
        values = [Param(key, str(value)) for key, value in _flat(self.params.model_dump()).items()]
        for start in range(0, len(values), 100):  # the most that one request may hold
            client.log_batch(self.run_id, params=values[start : start + 100])
        write_text(note, self.run_id)

    def _send(self, point: dict[str, float], step: int) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        metrics = [Metric(name, value, now, step) for name, value in point.items()]
        self._log(lambda client: client.log_batch(self.run_id, metrics=metrics))

    def _log(self, action: "Callable[[MlflowClient], object]") -> None:
        """Call `action` with the MLflow client; if the store fails, its curves end, but never the training."""
        from mlflow.exceptions import MlflowException

        if self.client is None:
            return
        try:
            action(self.client)
        except MlflowException as error:
            print(
                f"MLflow stopped answering ({str(error)[:80]}); training continues without it; the curves are kept "
                "on disk",
                file=sys.stderr,
            )
            self.client = None


def _flat(settings: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    """`{a: {b: 1}}` as `{"a.b": 1}`."""
    flat: dict[str, object] = {}
    for key, value in settings.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat
