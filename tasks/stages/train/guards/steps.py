"""A Trainer whose steps are judged before they are made (watch.py), and which goes back to better weights.

A step that is not made leaves weights and optimizer as they are: its gradients are removed before the optimizer sees
them. Going back is to the best checkpoint, or to the start; data and schedule go on from where they are, so every
decision follows from what a checkpoint holds, and a resumed run takes the same ones.
"""

from pathlib import Path
from typing import cast

import torch
from safetensors.torch import save_file
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from tasks.errors import AnnealError
from tasks.files import read_json, write_json
from tasks.stages.train.guards import gradient, watch
from tasks.stages.train.guards.audit import Audit
from tasks.stages.train.params import Guards

STATE = "guards.json"  # in a checkpoint
START = "start.safetensors"  # beside the checkpoints, until there is one


class JudgedSteps(Trainer):  # type: ignore[misc]
    """A Trainer that `guard` sets to watch its steps; without that it is transformers' own."""

    optimizer: Optimizer
    lr_scheduler: LRScheduler
    _tr_loss: torch.Tensor
    guards: Guards | None = None
    divides = False  # whether no process has all weights
    evaluation_is_due = False  # of this step, since a run left before it was made

    def learnt(self) -> dict[str, torch.Tensor]:
        """The weights that learn; see LearntWeights."""
        raise NotImplementedError

    def held(self) -> dict[str, torch.Tensor]:
        """What this process has of them."""
        raise NotImplementedError

    def load_learnt(self, file: Path) -> None:
        """Restore them."""
        raise NotImplementedError

    def guard(self, guards: Guards, body: nn.Module, writes_answers: bool) -> None:
        """Watch this run, whose tuner tunes `body`. A run that `writes_answers` has a loss around 0 that
        says nothing, and no gradient where all answers earn the same.
        """
        without_losses = {"spike": None, "diverged": None}
        self.guards = guards.model_copy(update=without_losses) if writes_answers else guards
        self.tuned = {name: weight for name, weight in body.named_parameters() if weight.requires_grad}
        self.writes_answers = writes_answers
        self.watch, self.audit = watch.Watch(), Audit()
        self.reached: set[str] = set()
        self.losses: list[torch.Tensor] = []  # of the batches of this step
        self.logged_before: torch.Tensor | None = None
        self.since_log = {"steps": 0, "skipped": 0}
        self.add_callback(_Begin(self))

    def training_step(self, *args: object, **kwargs: object) -> torch.Tensor:
        """As transformers', with the loss remembered."""
        if self.guards is None:
            return super().training_step(*args, **kwargs)
        try:
            loss: torch.Tensor = super().training_step(*args, **kwargs)
        except RuntimeError as error:
            if "does not require grad" in str(error):
                raise AnnealError(gradient.NO_PATH) from None
            raise
        if not self.losses:
            self.logged_before = self._tr_loss.clone()
        self.losses.append(loss.detach())
        return loss

    def _get_grad_norm(self, model: nn.Module, grad_norm: object = None) -> object:
        """The norm of the gradient, None where the step is not made. transformers calls it right before the step."""
        norm = super()._get_grad_norm(model, grad_norm)
        if self.guards is None:
            return norm
        loss = float(self._over_ranks(torch.stack(self.losses).sum()))
        self.losses = []
        scaled = getattr(self.accelerator, "scaler", None) is not None
        verdict = self.watch.judge(self.guards, loss, 0.0 if scaled else float(cast(float, norm)))
        self.since_log["steps"] += 1
        if verdict.action == "make":
            self._look_at_gradients()
            return norm
        self._undo(model, verdict)
        return None

    def _over_ranks(self, loss: torch.Tensor) -> torch.Tensor:
        """The mean over processes, so that all decide alike."""
        return self.accelerator.reduce(loss, "mean") if self.args.world_size > 1 else loss

    def _undo(self, model: nn.Module, verdict: watch.Verdict) -> None:
        model.zero_grad()  # to None: the optimizer passes over weights without gradient
        self._tr_loss = self.logged_before
        self.since_log["skipped"] += 1
        step = self.state.global_step + 1
        if verdict.action == "back":
            return self._go_back(step, verdict.guard, verdict.words)
        self.audit.add(step, verdict.guard, "skip", f"{verdict.words}; the batch is skipped")
        self._keep_audit()

    def _go_back(self, step: int, guard: str, words: str) -> None:
        """Restore the best weights so far with their optimizer, at a lower rate."""
        assert self.guards is not None
        self.watch.go_back(self.guards, words, step, self.args.learning_rate)
        best = self.state.best_model_checkpoint
        where = self._restore(Path(best)) if best and Path(best).is_dir() else self._restore_start()
        schedule = self.lr_scheduler
        schedule.base_lrs = [rate * self.guards.slower for rate in schedule.base_lrs]  # part of a checkpoint
        rate = self.guards.slower**self.watch.returns
        self.audit.add(step, guard, "back", f"{words}; back to {where}, at {rate:.3g} times the learning rate")
        self._keep_audit()

    def _restore(self, checkpoint: Path) -> str:
        schedule = self.lr_scheduler.state_dict()
        self._load_from_checkpoint(str(checkpoint))
        self._load_optimizer_and_scheduler(str(checkpoint))
        self.lr_scheduler.load_state_dict(schedule)  # which goes on
        self.watch.recent.latest = read_json(checkpoint / STATE)["watch"]["recent"]["latest"]
        return f"the best weights, of step {checkpoint.name.rpartition('-')[2]}"

    def _restore_start(self) -> str:
        self.load_learnt(Path(self.args.output_dir) / START)
        getattr(self.optimizer, "optimizer", self.optimizer).state.clear()
        return "the weights of the start"

    def _look_at_gradients(self) -> None:
        """Note which weights have a gradient, until it can be said which have none."""
        step = self.state.global_step + 1
        if step > gradient.STEPS or self.divides:  # a part of a weight may well have none
            return
        learning = {name: weight for name, weight in self.tuned.items() if weight.requires_grad}
        self.reached |= gradient.reached(learning, self.writes_answers)
        if step < gradient.STEPS or not (problem := gradient.problem(learning, self.reached)):
            return
        words, ends = problem
        if ends:
            raise AnnealError(f"{words}: use another tuner, or leave out gradient_checkpointing, in params.yaml.")
        self.audit.add(step, "gradient", "say", words)
        self._keep_audit()

    def check_learnt(self) -> None:
        """Raise AnnealError if a run was too short to go back, and none of its steps was made."""
        if self.watch.skipped and not self.watch.recent.first:
            raise AnnealError(f"none of the {self.watch.skipped} steps had a finite loss and gradient: check the rows.")

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """The mean loss of the steps that were made; none where none was."""
        if self.guards is not None and "loss" in logs:
            steps, skipped = self.since_log["steps"], self.since_log["skipped"]
            self.since_log = {"steps": 0, "skipped": 0}
            if skipped and steps == skipped:
                del logs["loss"]
            elif skipped:
                logs["loss"] *= steps / (steps - skipped)
        super().log(logs, start_time)

    def _keep_audit(self) -> None:
        if self.args.should_save:
            self.audit.write(Path(self.args.output_dir))

    def keep_guards(self, folder: Path) -> None:
        """Write what the decisions depend on to a checkpoint."""
        if self.guards is None:
            return
        state = {
            "watch": self.watch.as_json(),
            "audit": self.audit.lines,
            "reached": sorted(self.reached) if self.state.global_step < gradient.STEPS else [],
            "since_log": self.since_log,
            "evaluation_is_due": self.evaluation_is_due,
            "logged_at": self._globalstep_last_logged,
            "loss_since_log": self._tr_loss.item(),
        }
        write_json(folder / STATE, state)

    def begin(self) -> None:
        """Keep the weights of the start, or restore what a checkpoint says of the run before."""
        run = Path(self.args.output_dir)
        file = run / f"checkpoint-{self.state.global_step}" / STATE
        if not self.state.global_step:
            weights = self.learnt()
            if self.args.should_save:
                run.mkdir(parents=True, exist_ok=True)
                save_file({name: weight.contiguous().cpu() for name, weight in weights.items()}, run / START)
        elif file.exists():
            state = read_json(file)
            self.watch, self.audit = watch.of_json(state["watch"]), Audit(state["audit"])
            self.reached, self.since_log = set(state["reached"]), state["since_log"]
            self.evaluation_is_due = state["evaluation_is_due"]
            self._globalstep_last_logged = state["logged_at"]
            self._tr_loss += state["loss_since_log"]


class _Begin(TrainerCallback):  # type: ignore[misc]
    """Lets a Trainer's guards begin, and keeps weights that are not finite out of evaluations and checkpoints."""

    def __init__(self, trainer: JudgedSteps) -> None:
        self.trainer = trainer

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object
    ) -> None:
        self.trainer.begin()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        if control.should_save or control.should_evaluate:
            finite = all(bool(torch.isfinite(weight).all()) for weight in self.trainer.held().values())
            if self.trainer._over_ranks(torch.tensor(float(finite), device=args.device)) < 1:
                self.trainer._go_back(state.global_step, "finite", "weights are not finite numbers")

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        if args.should_save:
            (Path(args.output_dir) / START).unlink(missing_ok=True)  # the best checkpoint takes its place
