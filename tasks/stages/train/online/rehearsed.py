"""What training on answers of a model's own takes in memory, known before the first one is written."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import nn

from tasks.dataset.encoded import Batch, Completion, Encoded, left_padded, to_device
from tasks.stages.train.checkpoints import LearntWeights
from tasks.stages.train.online.answers import evaluating

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase as Tokenizer

READ = ("input_ids", "attention_mask", "position_ids")  # of a batch, by the model


class WritesAnswers(LearntWeights):
    """A Trainer whose rows are prompts."""

    tokenizer: "Tokenizer"
    max_completion_length: int  # tokens that it writes after a prompt at most

    @property
    def writer(self) -> nn.Module:
        """The model, without a head of its own."""
        return self.model

    def longest(self, rows: Sequence[Encoded]) -> Batch:
        """The prompts `rows`, each with an answer as long as it may be, whichever its tokens are."""
        answered = [_answered(row, self.max_completion_length) for row in rows]
        return to_device(left_padded(answered, self.tokenizer.pad_token_id), self.args.device)

    def rehearse_writing(self, rows: Sequence[Encoded]) -> None:
        """Keep the keys and values that answers to `rows` need at their end."""
        inputs = {name: value for name, value in self.longest(rows).items() if name in READ}
        with torch.no_grad(), evaluating(self.writer), self.accelerator.autocast():
            self.writer(**inputs, use_cache=True, logits_to_keep=1)


def _answered(prompt: Encoded, tokens: int) -> Completion:
    ids = prompt["input_ids"]
    return {"id": prompt["id"], "input_ids": [*ids, *ids[-1:] * tokens], "prompt_length": len(ids)}
