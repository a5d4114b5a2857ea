"""The Trainer of a training whose weights are divided among its processes. Its checkpoints are those of others: whole
weights and a whole optimizer, which the first process writes.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn
from torch.optim import Optimizer
from transformers.trainer import OPTIMIZER_NAME, SCHEDULER_NAME

from tasks.stages.train import processes, sharding
from tasks.stages.train.shared_trainer import SharedTrainer

State = dict[str, Any]  # of an optimizer, as torch has it


class ShardedTrainer(SharedTrainer):
    """A SharedTrainer whose model is divided when it begins to train. All processes call its methods together."""

    divides = True

    def __init__(self, **kwargs: Any) -> None:  # those of ObjectiveTrainer
        super().__init__(**kwargs)
        self.is_distributed_loading_by_transformers = True  # the model is divided, and nothing is to wrap it

    def _move_model_to_device(self, model: nn.Module, device: torch.device) -> None:
        """Not as a whole: its layers move as they are divided."""

    def create_optimizer(self, model: nn.Module = None) -> Optimizer:
        """transformers' optimizer, of the parts of this process."""
        if self.optimizer is None:
            sharding.divide(self.model)
        return super().create_optimizer(model)

    def held(self) -> dict[str, torch.Tensor]:
        """The parts of the weights that learn."""
        return {name: sharding.part(weight) for name, weight in super().held().items()}

    def learnt(self) -> dict[str, torch.Tensor]:
        """The whole weights that learn in the first process, nothing in the others."""
        gathered: dict[str, torch.Tensor] = {}
        for name, weight in super().held().items():
            value = sharding.whole(weight)
            if processes.is_first():
                gathered[name] = value.cpu()
        return gathered

    def load_learnt(self, file: Path) -> None:
        """Restore weights that learn: of each, the part of this process."""
        weights = dict(self.model.named_parameters())
        with torch.no_grad():
            for name, value in load_file(file).items():
                weights[name].copy_(sharding.like(value, weights[name]))

    def make_whole(self, build: Callable[[], nn.Module]) -> None:
        """Give the first process a model like that of `build`, with what was learnt."""
        learnt = self.learnt()
        if processes.is_first():
            self.model = build()
            if getattr(self.model, "config", None) is not None:  # as transformers sets it
                self.model.config.use_cache = self.args.use_cache
            with torch.no_grad():
                for name, weight in self.model.named_parameters():
                    if name in learnt:
                        weight.copy_(learnt[name])

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Write the whole weights of a checkpoint."""
        weights = self.learnt()
        if self.args.should_save:
            self.write_checkpoint(Path(output_dir or self.args.output_dir), weights)

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        state = _whole(self.optimizer.state_dict())
        if self.args.should_save:
            torch.save(state, Path(output_dir) / OPTIMIZER_NAME)
            torch.save(self.lr_scheduler.state_dict(), Path(output_dir) / SCHEDULER_NAME)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is None:
            return
        state = torch.load(Path(checkpoint) / OPTIMIZER_NAME, map_location="cpu", weights_only=True, mmap=True)
        self.optimizer.load_state_dict(_divided(state, self.optimizer))
        self.lr_scheduler.load_state_dict(torch.load(Path(checkpoint) / SCHEDULER_NAME, weights_only=True))

    def _get_grad_norm(self, model: nn.Module, grad_norm: object = None) -> object:
        if isinstance(grad_norm, torch.Tensor):
            grad_norm = sharding.whole(grad_norm)
        return super()._get_grad_norm(model, grad_norm)


def _whole(state: State) -> State:
    """The state of an optimizer with whole tensors, empty in all processes but the first."""
    gathered: State = {"state": {}, "param_groups": state["param_groups"]}
    for number, values in state["state"].items():
        kept = {name: _cpu(value) for name, value in values.items()}
        if processes.is_first():
            gathered["state"][number] = kept
    return gathered


def _cpu(value: object) -> object:
    if not isinstance(value, torch.Tensor):
        return value
    gathered = sharding.whole(value)
    return gathered.cpu() if processes.is_first() else None


def _divided(state: State, optimizer: Optimizer) -> State:
    """The whole state of an optimizer in the parts of this process."""
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    numbers = [number for group in state["param_groups"] for number in group["params"]]
    parts: State = {"state": {}, "param_groups": state["param_groups"]}
    for number, weight in zip(numbers, weights, strict=True):
        if number in state["state"]:
            values = state["state"][number].items()
            parts["state"][number] = {
                name: sharding.like(value, weight) if getattr(value, "shape", ()) == weight.shape else value
                for name, value in values
            }
    return parts
