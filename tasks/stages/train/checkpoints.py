"""What every Trainer of ours has, whatever library its loss comes from: checkpoints of the weights that learn, rates by
layer group, and a schedule that transformers has not.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from tasks.dataset.encoded import Encoded
from tasks.stages.train.guards.stopping import Leaves
from tasks.stages.train.schedule import Unfreezing, split_parameter_groups
from tasks.weights.layer_groups import Group

Schedule: TypeAlias = Callable[[int, int], float]  # (step, number of steps) → the factor of all rates
LEARNT = "model.safetensors"  # in a checkpoint; transformers looks for a file of this name


class LearntWeights(Leaves):
    """A Trainer whose checkpoints hold only the weights that learn.

    `groups` learn at rates of their own, each from its epoch on; `schedule` is set if it is not one of transformers'.
    """

    lr_scheduler: LRScheduler

    def __init__(
        self,
        *args: object,
        groups: Sequence[Group] = (),
        schedule: Schedule | None = None,
        **kwargs: object,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.groups, self.schedule = groups, schedule
        self.names = {name for name, weight in self.model.named_parameters() if weight.requires_grad}
        if any(group.first_epoch for group in groups):
            self.add_callback(Unfreezing(groups))

    @property
    def answers_at_once(self) -> int:
        """The number of answers that are written at a time, if it learns from answers of its own."""
        return 0

    def rehearsed(self, rows: Sequence[Encoded]) -> torch.Tensor:
        """A number whose gradient takes the memory of the loss of `rows` as one batch; nothing else changes."""
        raise NotImplementedError

    def rehearse_writing(self, rows: Sequence[Encoded]) -> None:
        """Take the memory of writing an answer to each of `rows`; none where no answers are written."""

    def learnt(self) -> dict[str, torch.Tensor]:
        """The weights that learn at any time of the run, frozen now or not; whole, in the first process."""
        return self.held()

    def held(self) -> dict[str, torch.Tensor]:
        """What this process has of them."""
        return {name: weight.data for name, weight in self.model.named_parameters() if name in self.names}

    def make_whole(self, build: Callable[[], nn.Module]) -> None:
        """After a training: let the model be one as of `build`. All processes call this together."""

    def create_optimizer(self, model: nn.Module = None) -> Optimizer:
        """transformers' optimizer, with its parameter groups split by `groups`."""
        is_new = self.optimizer is None
        super().create_optimizer(model)
        if self.groups and is_new:
            split_parameter_groups(self.optimizer, self.model, self.groups)
        return self.optimizer

    def create_scheduler(self, num_training_steps: int, optimizer: Optimizer = None) -> LRScheduler:
        """transformers' scheduler, or one that follows `schedule`."""
        if self.schedule is None or self.lr_scheduler is not None:
            return super().create_scheduler(num_training_steps, optimizer)
        factor = self.schedule
        self.lr_scheduler = LambdaLR(optimizer or self.optimizer, lambda step: factor(step, num_training_steps))
        self._created_lr_scheduler = True
        return self.lr_scheduler

    def _save(self, output_dir: str | None = None, state_dict: object = None) -> None:
        """Write a checkpoint: the weights that learn at any time, also those that are frozen now."""
        self.write_checkpoint(Path(output_dir or self.args.output_dir), self.learnt())

    def write_checkpoint(self, folder: Path, weights: dict[str, torch.Tensor]) -> None:
        """Write the weights that learn, and the state of the guards."""
        folder.mkdir(parents=True, exist_ok=True)
        save_file({name: weight.contiguous().cpu() for name, weight in weights.items()}, folder / LEARNT)
        self.keep_guards(folder)

    def load_learnt(self, file: Path) -> None:
        """Restore weights that learn; KeyError if the file holds others."""
        weights = dict(self.model.named_parameters())
        with torch.no_grad():
            for name, value in load_file(file).items():
                weights[name].copy_(value)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module = None) -> None:
        """Restore the weights of a checkpoint; KeyError if it holds others."""
        self.load_learnt(Path(resume_from_checkpoint) / LEARNT)

    def _load_best_model(self) -> None:
        self._load_from_checkpoint(self.state.best_model_checkpoint)
