"""transformers' Trainer, reading what all prompts of a batch begin with only once, in an order that a resumed run
finds again.
"""

from typing import Any

import torch
from transformers import Trainer
from transformers.trainer_pt_utils import LengthGroupedSampler, get_length_grouped_indices


class EpochOrder(LengthGroupedSampler):
    """Rows of like length together, in an order that follows from seed and epoch alone.

    transformers draws the order from torch's global state, which a resumed run no longer has at the start of its epoch:
    it would see some rows twice and others never.
    """

    def __init__(self, batch_size: int, dataset: list[dict], seed: int) -> None:
        super().__init__(batch_size, dataset=dataset)
        self.seed, self.epoch = seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Called by the Trainer before each epoch."""
        self.epoch = epoch

    def __iter__(self) -> Any:
        return iter(
            get_length_grouped_indices(
                self.lengths, self.batch_size, generator=torch.Generator().manual_seed(self.seed * 1000 + self.epoch)
            )
        )


class PrefixTrainer(Trainer):
    """A Trainer whose batches leave out the shared `prefix`: its keys and values are computed once a batch, gradients
    included.

    The loss and its gradients are those of whole rows; only the repeated work is gone.
    """

    def __init__(self, *args: Any, prefix: list[int], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.prefix = prefix

    def _get_train_sampler(self, train_dataset: Any = None) -> EpochOrder:
        return EpochOrder(
            self.args.train_batch_size * self.args.gradient_accumulation_steps,
            train_dataset or self.train_dataset,
            self.args.data_seed,
        )

    def compute_loss(
        self, model: Any, inputs: dict, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The mean negative log-likelihood of the batch's answer tokens."""
        if self.prefix:
            ids = torch.tensor([self.prefix], device=inputs["input_ids"].device)
            past = model(input_ids=ids, use_cache=True, logits_to_keep=1).past_key_values
            past.batch_repeat_interleave(len(inputs["input_ids"]))
            inputs = {**inputs, "past_key_values": past, "use_cache": True}
        else:
            inputs = {**inputs, "use_cache": False}
        return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
