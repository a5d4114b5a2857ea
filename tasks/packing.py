"""Puts several examples into one row without padding between them; none of them sees another.

Positions start anew with each example. transformers tells from that, and only where a batch has neither an attention
mask nor a cache, that a row is packed, and keeps attention within each example (masking_utils.py). So the mask that
`collate` makes is for counting tokens, and `loss` takes it out.
"""

from bisect import bisect_left, insort
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn

Encoded = dict[str, Any]


def cut(encoded: Encoded, max_length: int) -> list[Encoded]:
    """An example in chunks of at most `max_length` tokens.

    A chunk begins with the last token of the one before it, which is only read there: so each token but the first is
    trained on exactly once.
    """
    ids, step = encoded["input_ids"], max_length - 1
    starts = range(0, max(len(ids) - 1, 1), step)
    if len(starts) == 1:
        return [encoded]
    return [
        {
            "id": f"{encoded['id']}#{number}",
            "input_ids": ids[start : start + max_length],
            "prompt_length": max(1, encoded["prompt_length"] - start),
        }
        for number, start in enumerate(starts, 1)
    ]


def pack(encoded: Sequence[Encoded], max_length: int) -> list[Encoded]:
    """Rows of at most `max_length` tokens, each of whole examples: the longest first, into the row with the least
    room that takes it (best fit, decreasing).

    A row is `{id, input_ids, examples}`. Raises ValueError for an example that is longer than a row.
    """
    if any(len(example["input_ids"]) > max_length for example in encoded):
        raise ValueError(f"an example is longer than {max_length} tokens")
    rows: list[list[Encoded]] = []
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


def _packed(examples: Sequence[Encoded]) -> Encoded:
    return {
        "id": " + ".join(str(example["id"]) for example in examples),
        "input_ids": [token for example in examples for token in example["input_ids"]],
        "examples": list(examples),
    }


def trained_on(row: Encoded) -> list[bool]:
    """Whether the loss is taken on each token of a packed row: not on the prompts in it."""
    return [
        place >= example["prompt_length"] for example in row["examples"] for place in range(len(example["input_ids"]))
    ]


def collate(rows: Sequence[Encoded], pad_token_id: int) -> dict[str, Any]:
    """A batch of packed rows, padded on the right, where padding is one more example.

    input_ids, position_ids, attention_mask (see above), labels (-100 where nothing is trained): (batch, time).
    """
    import torch

    time = max(len(row["input_ids"]) for row in rows)
    input_ids = torch.full((len(rows), time), pad_token_id)
    position_ids = torch.zeros(len(rows), time, dtype=torch.long)
    attention_mask = torch.zeros(len(rows), time, dtype=torch.long)
    labels = torch.full((len(rows), time), -100)
    for i, row in enumerate(rows):
        length = len(row["input_ids"])
        lengths = [*(len(example["input_ids"]) for example in row["examples"]), time - length]
        input_ids[i, :length] = torch.tensor(row["input_ids"])
        position_ids[i] = torch.cat([torch.arange(tokens) for tokens in lengths])
        attention_mask[i, :length] = 1
        labels[i, :length] = torch.where(torch.tensor(trained_on(row)), input_ids[i, :length], -100)
    return {
        "input_ids": input_ids,
        "position_ids": position_ids,
        "attention_mask": attention_mask,
        "labels": labels,
    }


def loss(model: "nn.Module", batch: dict[str, Any], num_items: "Tensor | None") -> "Tensor":
    """The mean negative log-likelihood of the trained tokens; the head reads only the places that predict one."""
    import torch

    batch = {**{name: value for name, value in batch.items() if name != "attention_mask"}, "use_cache": False}
    labels = batch.pop("labels")[:, 1:]
    kept = (labels != -100).any(0).nonzero().squeeze(-1)
    logits = model(**batch, logits_to_keep=kept).logits.float()
    targets = labels[:, kept]
    total = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="sum")
    return total / ((targets != -100).sum() if num_items is None else num_items)
