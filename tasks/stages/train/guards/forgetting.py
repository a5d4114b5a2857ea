"""Forgetting: general text, which ships here (general.txt) and is in nobody's rows, surprises the model more than it
did before training.
"""

import math
from pathlib import Path
from typing import TYPE_CHECKING, cast

from tasks.dataset.encoded import Processor
from tasks.stages.train.params import Guards

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedTokenizerBase as Tokenizer

TEXT = Path(__file__).with_name("general.txt")  # passages of about 80 words, a blank line between them


def perplexity(model: "nn.Module", processor: Processor) -> float:
    """exp of the mean negative log-likelihood (nats) of a token of TEXT, each passage read on its own."""
    import torch
    from torch.nn.functional import cross_entropy

    tokenizer = cast("Tokenizer", getattr(processor, "tokenizer", processor))  # an objective may keep more beside it
    device = next(model.parameters()).device
    nats, tokens = 0.0, 0
    for passage in TEXT.read_text(encoding="utf-8").strip().split("\n\n"):
        ids = torch.tensor([tokenizer(passage)["input_ids"]], device=device)
        with torch.no_grad():
            logits = model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False).logits
        nats += float(cross_entropy(logits[0, :-1].float(), ids[0, 1:], reduction="sum"))
        tokens += ids.shape[1] - 1
    return math.exp(min(nats / tokens, 100.0))


def problem(guards: Guards, before: float, after: float) -> str | None:
    """The perplexity rose to `forgotten` times what it was, or more."""
    if guards.forgotten is None or after < guards.forgotten * before:
        return None
    return (
        f"forgetting: the perplexity of general text rose from {before:.1f} to {after:.1f}; a lower learning_rate, "
        "fewer num_train_epochs or general rows mixed in (`mixes`) keep more of what the parent knew"
    )
