"""transformers' Trainer for any objective and tuner: the shared prefix of a batch is read once, and rows come in an
order that a resumed run reproduces.
"""

from collections.abc import Iterator, Sequence
from typing import cast

import torch
from torch import nn
from transformers.trainer_pt_utils import LengthGroupedSampler, get_length_grouped_indices

from tasks.dataset.encoded import Batch, Encoded
from tasks.models.fast_lora import Core
from tasks.objectives import Objective
from tasks.section import Section
from tasks.stages.train.checkpoints import LearntWeights, Schedule
from tasks.stages.train.figures import Figures
from tasks.weights.layer_groups import Group


class EpochOrder(LengthGroupedSampler):  # type: ignore[misc]
    """Batches of rows of similar length, in an order that depends on seed and epoch alone.

    transformers draws the order from torch's global state, which a resumed run no longer has at the start of its epoch:
    it would see some rows twice and others never.
    """

    def __init__(self, batch_size: int, dataset: list[Encoded], seed: int, length: int = 0) -> None:
        super().__init__(batch_size, dataset=dataset)
        self.seed, self.epoch, self.dataset = seed, 0, dataset
        self.length = max(length, len(dataset))

    def __len__(self) -> int:
        return self.length

    def set_epoch(self, epoch: int) -> None:
        """Called by the Trainer before each epoch; its number is set in the rows, for augmentation by epoch."""
        self.epoch = epoch
        for row in self.dataset:
            row["epoch"] = epoch

    def __iter__(self) -> Iterator[int]:
        yield from order_of(self.lengths, self.batch_size, self.seed, self.epoch)
        yield from range(len(self.lengths), self.length)  # what is filled in where several processes share the steps


def order_of(lengths: Sequence[int], batch_size: int, seed: int, epoch: int) -> Iterator[int]:
    """The places of rows so long, in the order of an epoch."""
    order = torch.Generator().manual_seed(seed * 1000 + epoch)
    rows = get_length_grouped_indices(lengths, batch_size, generator=order)
    whole = len(rows) // batch_size  # full batches; the remaining rows stay last
    # transformers goes from long to short in every epoch, so that short rows would always be learnt last. The first
    # batch, with the longest row, stays first, so that running out of memory shows at once.
    batches = [0, *(torch.randperm(whole - 1, generator=order) + 1).tolist()] if whole else []
    for batch in batches:
        yield from rows[batch * batch_size : (batch + 1) * batch_size]
    yield from rows[whole * batch_size :]


class ObjectiveTrainer(LearntWeights):
    """A Trainer with an objective's loss, whose batches leave out the shared `prefix`: its keys and values are computed
    once per batch, gradients included.

    The loss and its gradients are those of whole rows; only repeated work is saved. `core` is the faster forward and
    backward pass for models that it supports.
    """

    def __init__(
        self,
        *args: object,
        objective: Objective,
        settings: Section,
        prefix: list[int],
        core: Core | None = None,
        groups: Sequence[Group] = (),
        schedule: Schedule | None = None,
        **kwargs: object,
    ) -> None:
        super().__init__(*args, groups=groups, schedule=schedule, **kwargs)
        self.objective, self.settings, self.prefix, self.core = objective, settings, prefix, core
        self.figures = Figures()

    def _get_train_sampler(self, train_dataset: list[Encoded] | None = None) -> EpochOrder:
        return EpochOrder(
            self.args.train_batch_size * self.args.gradient_accumulation_steps,
            train_dataset or self.train_dataset,
            self.args.data_seed,
        )

    def rehearsed(self, rows: Sequence[Encoded]) -> torch.Tensor:
        """The loss of `rows` as one batch."""
        batch = self._prepare_inputs(self.data_collator(list(rows)))
        items = self._get_num_items_in_batch([batch], self.args.device)
        with self.accelerator.autocast():
            loss = cast(torch.Tensor, self.compute_loss(self.model, batch, num_items_in_batch=items))
        self.figures = Figures()
        return loss

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
        loss = self._loss(model, inputs, num_items_in_batch)
        return (loss, {}) if return_outputs else loss

    def _loss(self, model: nn.Module | Core, inputs: Batch, num_items: torch.Tensor | None) -> torch.Tensor:
        """The objective's loss; what it measures beside that is kept for the next line of the log."""
        if not (measured := getattr(self.objective, "measured", None)):
            return self.objective.loss(self.settings, model, inputs, num_items)
        loss, figures = measured(self.settings, model, inputs, num_items)
        self.figures.add("" if self.model.training else "eval_", figures)
        measured_loss: torch.Tensor = loss
        return measured_loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """As transformers', with the figures since the last line of this kind."""
        logs.update(self.figures.take(logs))
        super().log(logs, start_time)

    def _get_num_items_in_batch(self, batch_samples: list[Batch], device: torch.device) -> torch.Tensor:
        """The number of trained tokens in a step's batches, weighted if one of them has weights; or of examples, if
        their losses are averaged.
        """
        if not any("weights" in batch or "examples" in batch for batch in batch_samples):
            return super()._get_num_items_in_batch(batch_samples, device)
        return torch.stack([_items(batch) for batch in batch_samples]).sum().to(device)


def _items(batch: Batch) -> torch.Tensor:
    """What the loss of a batch is divided by: its examples, or the weights or the number of its trained tokens."""
    if "examples" in batch:
        return torch.tensor(float(batch["examples"]))
    return (batch["weights"] if "weights" in batch else batch["labels"].ne(-100)).float().sum()
