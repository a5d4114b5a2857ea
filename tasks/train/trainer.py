"""transformers' Trainer, reading what all prompts of a batch begin with only once."""

from typing import Any

import torch
from transformers import Trainer


class PrefixTrainer(Trainer):
    """A Trainer whose batches leave out the shared `prefix`: its keys and values are computed once a batch, gradients included.

    The loss and its gradients are those of whole rows; only the repeated work is gone.
    """

    def __init__(self, *args: Any, prefix: list[int], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.prefix = prefix

    def compute_loss(self, model: Any, inputs: dict, return_outputs: bool = False, num_items_in_batch: Any = None) -> Any:
        """The mean negative log-likelihood of the batch's answer tokens."""
        if self.prefix:
            ids = torch.tensor([self.prefix], device=inputs["input_ids"].device)
            past = model(input_ids=ids, use_cache=True, logits_to_keep=1).past_key_values
            past.batch_repeat_interleave(len(inputs["input_ids"]))
            inputs = {**inputs, "past_key_values": past, "use_cache": True}
        else:
            inputs = {**inputs, "use_cache": False}
        return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
