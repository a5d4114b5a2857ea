"""Packs several examples into a row without padding and without attention between them.

Positions restart with each example. From that, and only in a batch without attention mask and cache, transformers
infers that a row is packed and keeps attention within each example (masking_utils.py). So the mask that `collate` makes
is for counting tokens only, and `loss` leaves it out.
"""

from bisect import bisect_left, insort
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tasks.dataset.encoded import Batch, Completion, Packed
from tasks.dialogues import dialogue

if TYPE_CHECKING:
    from torch import Tensor, nn


def pack(encoded: Sequence[Completion], max_length: int) -> list[Packed]:
    """Rows of at most `max_length` tokens, each of whole examples: the longest first, into the row with the least
    room that takes it (best fit, decreasing).

    Raises ValueError if an example is longer than a row.
    """
    if any(len(example["input_ids"]) > max_length for example in encoded):
        raise ValueError(f"an example is longer than {max_length} tokens")
    rows: list[list[Completion]] = []
    rooms: list[tuple[int, int]] = []  # (tokens left, row), ascending
    for example in sorted(encoded, key=lambda example: -len(example["input_ids"])):
        length = len(example["input_ids"])
        place = bisect_left(rooms, (length, 0))
        room, row = rooms.pop(place) if place < len(rooms) else (max_length, len(rows))
        if row == len(rows):
            rows.append([])
        rows[row].append(example)
        insort(rooms, (room - length, row))
    return [_packed(examples) for examples in rows]


def _packed(examples: Sequence[Completion]) -> Packed:
    return {
        "id": " + ".join(example["id"] for example in examples),
        "input_ids": [token for example in examples for token in example["input_ids"]],
        "examples": list(examples),
    }


def trained_on(row: Packed) -> list[float]:
    """The weight of each token of a packed row in the loss; 0 in its prompts."""
    return [weight for example in row["examples"] for weight in dialogue.weights(example)]


def collate(rows: Sequence[Packed], pad_token_id: int) -> Batch:
    """A batch of packed rows, padded on the right; the padding counts as one more example.

    All of shape (batch, time): input_ids, position_ids, attention_mask (see above), labels (-100 for tokens that are
    not trained on), and weights if any is neither 0 nor 1.
    """
    import torch

    time = max(len(row["input_ids"]) for row in rows)
    input_ids = torch.full((len(rows), time), pad_token_id)
    position_ids = torch.zeros(len(rows), time, dtype=torch.long)
    attention_mask = torch.zeros(len(rows), time, dtype=torch.long)
    weights = torch.zeros(len(rows), time)
    for i, row in enumerate(rows):
        length = len(row["input_ids"])
        lengths = [*(len(example["input_ids"]) for example in row["examples"]), time - length]
        input_ids[i, :length] = torch.tensor(row["input_ids"])
        position_ids[i] = torch.cat([torch.arange(tokens) for tokens in lengths])
        attention_mask[i, :length] = 1
        weights[i, :length] = torch.tensor(trained_on(row), dtype=torch.float)
    batch: Batch = {
        "input_ids": input_ids,
        "position_ids": position_ids,
        "attention_mask": attention_mask,
        "labels": torch.where(weights == 0, -100, input_ids),
    }
    if ((weights != 0) & (weights != 1)).any():
        batch["weights"] = weights
    return batch


def loss(model: "nn.Module", batch: Batch, num_items: "Tensor | None") -> "Tensor":
    """The (weighted) mean negative log-likelihood of the trained tokens; logits are computed only where one of them is
    predicted.
    """
    from torch.nn.functional import cross_entropy

    labels = batch["labels"][:, 1:]
    kept = (labels != -100).any(0).nonzero().squeeze(-1)
    ids, places = batch["input_ids"], batch["position_ids"]
    logits = model(input_ids=ids, position_ids=places, use_cache=False, logits_to_keep=kept).logits.float()
    targets = labels[:, kept]
    nll = cross_entropy(logits.transpose(1, 2), targets, reduction="none")
    weights = batch["weights"][:, 1:][:, kept] if "weights" in batch else (targets != -100).float()
    return (nll * weights).sum() / (weights.sum() if num_items is None else num_items)
