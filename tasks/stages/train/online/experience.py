"""Answers as ppo learns from them: with what was true of each token when it was written."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from tasks.dataset.encoded import Batch, Completion, left_padded


@dataclass(frozen=True)
class Experience:
    """An answer, and for each of its tokens, (tokens,), what was true when it was written."""

    completion: Completion
    logp: torch.Tensor
    values: torch.Tensor
    advantages: torch.Tensor
    returns: torch.Tensor


class LearntFrom(Batch, total=False):
    """A batch of experiences, padded on the left: (rows, tokens) each."""

    old_logp: torch.Tensor
    old_values: torch.Tensor
    old_advantages: torch.Tensor
    old_returns: torch.Tensor


def batch_of(rows: Sequence[Experience], pad_token_id: int) -> Batch:
    """The `rows` as a batch, of LearntFrom."""
    batch = left_padded([row.completion for row in rows], pad_token_id)
    width = batch["labels"].shape[1] - 1
    for name in ("logp", "values", "advantages", "returns"):
        parts = [getattr(row, name) for row in rows]
        padded = [nn.functional.pad(part, (width - len(part), 0)) for part in parts]
        batch[f"old_{name}"] = torch.stack(padded)  # type: ignore[literal-required]
    return batch
