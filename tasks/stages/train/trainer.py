"""transformers' Trainer for any objective and tuner: the shared prefix of a batch is read once, rows come in an order
that a resumed run reproduces, and checkpoints hold only the weights that learn.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler
from transformers import Trainer
from transformers.trainer_pt_utils import LengthGroupedSampler, get_length_grouped_indices

from tasks.dataset.encoded import Batch, Encoded
from tasks.objectives import Objective
from tasks.section import Section
from tasks.stages.train.fast_lora import Core
from tasks.stages.train.schedule import Unfreezing, split_parameter_groups
from tasks.weights.layer_groups import Group

LEARNT = "model.safetensors"  # in a checkpoint; transformers looks for a file of this name


class EpochOrder(LengthGroupedSampler):  # type: ignore[misc]
    """Batches of rows of similar length, in an order that depends on seed and epoch alone.

    transformers draws the order from torch's global state, which a resumed run no longer has at the start of its epoch:
    it would see some rows twice and others never.
    """

    def __init__(self, batch_size: int, dataset: list[Encoded], seed: int) -> None:
        super().__init__(batch_size, dataset=dataset)
        self.seed, self.epoch, self.dataset = seed, 0, dataset

    def set_epoch(self, epoch: int) -> None:
        """Called by the Trainer before each epoch; its number is set in the rows, for augmentation by epoch."""
        self.epoch = epoch
        for row in self.dataset:
            row["epoch"] = epoch

    def __iter__(self) -> Iterator[int]:
        order = torch.Generator().manual_seed(self.seed * 1000 + self.epoch)
        rows = get_length_grouped_indices(self.lengths, self.batch_size, generator=order)
        whole = len(rows) // self.batch_size  # full batches; the remaining rows stay last
        # transformers goes from long to short in every epoch, so that short rows would always be learnt last. The
        # first batch, with the longest row, stays first, so that running out of memory shows at once.
        batches = [0, *(torch.randperm(whole - 1, generator=order) + 1).tolist()] if whole else []
        for batch in batches:
            yield from rows[batch * self.batch_size : (batch + 1) * self.batch_size]
        yield from rows[whole * self.batch_size :]


class ObjectiveTrainer(Trainer):  # type: ignore[misc]
    """A Trainer with an objective's loss, whose batches leave out the shared `prefix`: its keys and values are computed
    once per batch, gradients included.

    The loss and its gradients are those of whole rows; only repeated work is saved. `core` is the faster forward and
    backward pass for models that it supports. `groups` learn at rates of their own, each from its epoch on; `schedule`
    maps (step, number of steps) to the factor of all rates, if it is not one of transformers'.
    """

    lr_scheduler: LRScheduler

    def __init__(
        self,
        *args: object,
        objective: Objective,
        settings: Section,
        prefix: list[int],
        core: Core | None = None,
        groups: Sequence[Group] = (),
        schedule: Callable[[int, int], float] | None = None,
        **kwargs: object,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.objective, self.settings, self.prefix, self.core = objective, settings, prefix, core
        self.groups, self.schedule = groups, schedule
        self.names = {name for name, weight in self.model.named_parameters() if weight.requires_grad}
        if any(group.first_epoch for group in groups):
            self.add_callback(Unfreezing(groups))

    def learnt(self) -> dict[str, torch.Tensor]:
        """The weights that learn at any time of the run, frozen now or not."""
        return {name: weight.data for name, weight in self.model.named_parameters() if name in self.names}

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

    def _get_train_sampler(self, train_dataset: list[Encoded] | None = None) -> EpochOrder:
        return EpochOrder(
            self.args.train_batch_size * self.args.gradient_accumulation_steps,
            train_dataset or self.train_dataset,
            self.args.data_seed,
        )

    def compute_loss(
        self,
        model: nn.Module,
        inputs: Batch,
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor = None,
    ) -> torch.Tensor | tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """The objective's loss of the batch."""
        if self.core is not None:
            model, inputs = self.core, {**inputs, "prefix": self.prefix}
        elif self.prefix:
            ids = torch.tensor([self.prefix], device=inputs["input_ids"].device)
            past = model(input_ids=ids, use_cache=True, logits_to_keep=1).past_key_values
            past.batch_repeat_interleave(len(inputs["input_ids"]))
            inputs = {**inputs, "past_key_values": past, "use_cache": True}
        else:
            inputs = {**inputs, "use_cache": False}
        loss = self.objective.loss(self.settings, model, inputs, num_items_in_batch)
        return (loss, {}) if return_outputs else loss

    def _get_num_items_in_batch(self, batch_samples: list[Batch], device: torch.device) -> torch.Tensor:
        """The number of trained tokens in a step's batches, weighted if one of them has weights."""
        if not any("weights" in batch for batch in batch_samples):
            return super()._get_num_items_in_batch(batch_samples, device)
        counts = [batch["weights"] if "weights" in batch else batch["labels"].ne(-100) for batch in batch_samples]
        total = torch.stack([count.float().sum() for count in counts]).sum().to(device)
        is_shared = self.args.average_tokens_across_devices and self.args.world_size > 1
        return self.accelerator.gather(total).sum() if is_shared else total

    def _save(self, output_dir: str | None = None, state_dict: object = None) -> None:
        """Write a checkpoint: the weights that learn at any time, also those that are frozen now."""
        folder = Path(output_dir or self.args.output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        save_file({name: weight.contiguous().cpu() for name, weight in self.learnt().items()}, folder / LEARNT)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module = None) -> None:
        """Restore the weights of a checkpoint; KeyError if it holds others."""
        weights = dict((model or self.model).named_parameters())
        with torch.no_grad():
            for name, value in load_file(Path(resume_from_checkpoint) / LEARNT).items():
                weights[name].copy_(value)

    def _load_best_model(self) -> None:
        self._load_from_checkpoint(self.state.best_model_checkpoint)
