"""The Trainer of a training that several processes share: gradient, losses and counts are those of one process."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader

from tasks.dataset.encoded import Batch, Encoded
from tasks.stages.train import processes, shared_step
from tasks.stages.train.figures import Figures
from tasks.stages.train.shared_step import FilledRows, collated, filled, through, without_mark
from tasks.stages.train.trainer import EpochOrder, ObjectiveTrainer


class SharedFigures(Figures):
    """Figures whose means are over all processes."""

    def means(self, values: Mapping[str, list[float]]) -> dict[str, float]:
        """The mean of each figure."""
        return shared_step.means(values)


class SharedTrainer(ObjectiveTrainer):
    """An ObjectiveTrainer in each of several processes.

    DistributedDataParallel averages the gradients over the processes, so a loss that is divided by the items of all of
    them is multiplied by their number. All processes evaluate all held-out rows: what is decided by them is decided
    alike.
    """

    train_dataset: FilledRows
    data_collator: Callable[[Sequence[Encoded]], Batch]

    def __init__(self, **kwargs: Any) -> None:  # those of ObjectiveTrainer
        super().__init__(**kwargs)
        collate = self.data_collator
        self.train_dataset = FilledRows(self.train_dataset)
        self.data_collator = lambda rows: collated(collate, rows)
        self.figures = SharedFigures()
        self.factor = 1.0  # of the loss of this step's batches
        # Without the cut that accelerate makes for an epoch's last batch: evaluation is not divided.
        self.accelerator.gather_for_metrics = lambda data, **_: self.accelerator.gather(data)

    def _get_train_sampler(self, train_dataset: list[Encoded] | None = None) -> EpochOrder:
        batch, number = self.args.train_batch_size, processes.count()
        self.order = EpochOrder(
            batch * number * self.args.gradient_accumulation_steps,
            self.train_dataset,
            self.args.data_seed,
            filled(len(self.train_dataset), batch),
        )
        return self.order

    def _run_epoch(self, **kwargs: Any) -> None:
        """transformers does not tell the order its epoch where a run goes on in the middle of one."""
        self.order.set_epoch(kwargs["epoch"])
        super()._run_epoch(**kwargs)

    def get_eval_dataloader(self, eval_dataset: object = None) -> DataLoader:
        """All held-out rows, in each process."""
        return DataLoader(self.eval_dataset, self.args.eval_batch_size, collate_fn=self.data_collator)

    def get_batch_samples(
        self, epoch_iterator: Iterator[Batch], num_batches: int, device: torch.device
    ) -> tuple[list[Batch], torch.Tensor | None]:
        """The batches of a step in this process, and the items that all of them have in all processes."""
        batches, items = super().get_batch_samples(epoch_iterator, num_batches, device)
        counting = [batch for batch, counts in map(without_mark, batches) if counts]
        number = processes.count()
        if items is None:  # the mean of batches, each of which has the same weight
            total = shared_step.summed(torch.tensor(float(len(counting)), device=device))
            self.factor = number * len(batches) / total.item()
            return batches, None
        own = self._get_num_items_in_batch(counting, device) if counting else torch.zeros_like(items)
        self.factor = float(number)
        return batches, shared_step.summed(own)

    def compute_loss(
        self,
        model: nn.Module,
        inputs: Batch,
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | None = None,
    ) -> Any:  # as transformers': a loss, or a loss and outputs
        """The objective's loss of the batch, times what makes the mean over the processes the loss of the step."""
        batch, counts = without_mark(inputs)
        whole = super().compute_loss
        if not self.model.training:
            return whole(model, batch, return_outputs, num_items_in_batch)
        kept, self.figures = self.figures, self.figures if counts else SharedFigures()
        loss = through(model, lambda inner: whole(inner, batch, num_items_in_batch=num_items_in_batch))
        self.figures = kept
        loss = loss * (self.factor if counts else 0.0)
        return (loss, {}) if return_outputs else loss

    def _save_checkpoint(self, model: nn.Module, trial: object) -> None:
        self._tr_loss.copy_(self._over_ranks(self._tr_loss))  # a checkpoint keeps that of the first process
        super()._save_checkpoint(model, trial)

    def _track_num_input_tokens(self, inputs: Batch) -> None:
        """As transformers', without the tokens of what is filled in."""
        batch, counts = without_mark(inputs)
        if not counts and "attention_mask" in batch:
            batch["attention_mask"] = torch.zeros_like(batch["attention_mask"])
        super()._track_num_input_tokens(batch)
