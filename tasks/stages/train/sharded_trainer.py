"""The Trainer of a training whose weights are divided among its processes. Its checkpoints are those of others: whole
weights and a whole optimizer, which the first process writes, without pickles.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn
from torch.optim import Optimizer

from tasks.stages.train import processes, sharding
from tasks.stages.train.shared_trainer import SharedTrainer

OPTIMIZER = "optimizer.safetensors"  # in a checkpoint, with the schedule
State = dict[int, dict[str, Any]]  # of an optimizer, as torch has it: of each weight, by its number


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
        state = self.optimizer.state_dict()
        tensors, others = _gathered(state["state"])
        told = {"groups": state["param_groups"], "others": others, "schedule": self.lr_scheduler.state_dict()}
        if self.args.should_save:
            save_file(tensors, Path(output_dir) / OPTIMIZER, metadata={"told": json.dumps(told)})

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is None:
            return
        with safe_open(Path(checkpoint) / OPTIMIZER, "pt") as file:
            told = json.loads(file.metadata()["told"])
            weights = [weight for group in self.optimizer.param_groups for weight in group["params"]]
            numbers = [number for group in told["groups"] for number in group["params"]]
            state: State = {number: told["others"].get(str(number), {}) for number in numbers}
            for key in sorted(file.keys()):
                number, name = int(key.partition(".")[0]), key.partition(".")[2]
                value, weight = file.get_tensor(key), weights[numbers.index(number)]
                state[number][name] = sharding.like(value, weight) if value.shape == weight.shape else value
        state = {number: values for number, values in state.items() if values}
        self.optimizer.load_state_dict({"state": state, "param_groups": told["groups"]})
        self.lr_scheduler.load_state_dict(told["schedule"])

    def _get_grad_norm(self, model: nn.Module, grad_norm: object = None) -> object:
        if isinstance(grad_norm, torch.Tensor):
            grad_norm = sharding.whole(grad_norm)
        return super()._get_grad_norm(model, grad_norm)


def _gathered(state: State) -> tuple[dict[str, torch.Tensor], dict[int, dict[str, object]]]:
    """(the whole tensors of an optimizer's state by `number.name`, in the first process; what are no tensors)."""
    tensors: dict[str, torch.Tensor] = {}
    others: dict[int, dict[str, object]] = {}
    for number, values in state.items():
        for name, value in values.items():
            if not isinstance(value, torch.Tensor):
                others.setdefault(number, {})[name] = value
                continue
            gathered = sharding.whole(value)
            if processes.is_first():
                tensors[f"{number}.{name}"] = gathered.contiguous().cpu()
    return tensors, others
