"""transformers' Trainer for any objective and tuner: what all prompts of a batch begin with is read once, rows come in
an order that a resumed run finds again, and checkpoints hold what learns and nothing else.
"""

from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformers import Trainer
from transformers.trainer_pt_utils import LengthGroupedSampler, get_length_grouped_indices

from tasks.section import Section

LEARNT = "model.safetensors"  # in a checkpoint; transformers looks for a file of this name


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


class ObjectiveTrainer(Trainer):
    """A Trainer whose loss is an objective's, and whose batches leave out the shared `prefix`: its keys and values are
    computed once a batch, gradients included.

    The loss and its gradients are those of whole rows; only the repeated work is gone.
    """

    def __init__(self, *args: Any, objective: ModuleType, settings: Section, prefix: list[int], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.objective, self.settings, self.prefix = objective, settings, prefix

    def _get_train_sampler(self, train_dataset: Any = None) -> EpochOrder:
        return EpochOrder(
            self.args.train_batch_size * self.args.gradient_accumulation_steps,
            train_dataset or self.train_dataset,
            self.args.data_seed,
        )

    def compute_loss(
        self, model: Any, inputs: dict, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The objective's loss of the batch."""
        if self.prefix:
            ids = torch.tensor([self.prefix], device=inputs["input_ids"].device)
            past = model(input_ids=ids, use_cache=True, logits_to_keep=1).past_key_values
            past.batch_repeat_interleave(len(inputs["input_ids"]))
            inputs = {**inputs, "past_key_values": past, "use_cache": True}
        else:
            inputs = {**inputs, "use_cache": False}
        loss = self.objective.loss(self.settings, model, inputs, num_items_in_batch)
        return (loss, {}) if return_outputs else loss

    def _get_num_items_in_batch(self, batch_samples: list[dict], device: torch.device) -> Any:
        """The trained tokens of a step's batches, each counted by its weight where one of them has weights."""
        if not any("weights" in batch for batch in batch_samples):
            return super()._get_num_items_in_batch(batch_samples, device)
        counts = [batch["weights"] if "weights" in batch else batch["labels"].ne(-100) for batch in batch_samples]
        total = torch.stack([count.float().sum() for count in counts]).sum().to(device)
        is_shared = self.args.average_tokens_across_devices and self.args.world_size > 1
        return self.accelerator.gather(total).sum() if is_shared else total

    def _save(self, output_dir: str | None = None, state_dict: dict | None = None) -> None:
        """A checkpoint: the weights that learn, whatever the tuner."""
        folder = Path(output_dir or self.args.output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        learnt = {name: weight.data for name, weight in self.model.named_parameters() if weight.requires_grad}
        save_file({name: weight.contiguous().cpu() for name, weight in learnt.items()}, folder / LEARNT)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        """Put the weights of a checkpoint back in place; KeyError when it holds others."""
        weights = dict((model or self.model).named_parameters())
        with torch.no_grad():
            for name, value in load_file(Path(resume_from_checkpoint) / LEARNT).items():
                weights[name].copy_(value)

    def _load_best_model(self) -> None:
        self._load_from_checkpoint(self.state.best_model_checkpoint)
