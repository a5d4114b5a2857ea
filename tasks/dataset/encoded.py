"""Types of rows as tokens and of batches, as models are trained on them.

An objective whose rows hold more has a type of its own.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NotRequired, Protocol, Required, TypedDict, cast, final

from tasks.dataset.rows import Prepared

if TYPE_CHECKING:
    from torch import Tensor
    from torch import device as Device


class Encoded(TypedDict):
    """A row as tokens, with the keys that all objectives share."""

    id: str
    input_ids: list[int]  # rows are grouped by their number
    epoch: NotRequired[int]  # in which the row is trained on, from 0; set before each epoch


@final
class Completion(Encoded):
    """A prompt, and the tokens after it that are trained on."""

    prompt_length: int  # number of tokens that are only read
    weights: NotRequired[list[float]]  # weight in the loss of each token after the prompt, unless all are 1
    is_whole: NotRequired[bool]  # it makes no sense in pieces, as a text would


@final
class Packed(Encoded):
    """Several examples in a row, without attention between them (tasks/dataset/packing.py)."""

    examples: list[Completion]


class Prompted(Encoded):
    """A prompt that the model answers in training, and its row, by which answers are judged."""

    row: Prepared


class Labelled(Encoded):
    """A text, or an image, and its classes."""

    labels: list[int]  # class number of each column


class Batch(TypedDict, total=False):
    """Rows that a model reads together. `time` is the number of tokens of the longest; the others are padded."""

    input_ids: Required["Tensor"]  # (batch, time), token ids
    attention_mask: Required["Tensor"]  # (batch, time), 0 in the padding; includes tokens of a shared prefix
    position_ids: "Tensor"  # (batch, time)
    token_type_ids: "Tensor"  # (batch, time), 1 in a context after its question
    pixel_values: "Tensor"  # (batch, channels, height, width)
    is_place: "Tensor"  # (batch, time), whether an answer may begin or end there
    labels: "Tensor"  # targets: tokens (batch, kept) or tags (batch, time), -100 for none; or classes (batch, columns)
    weights: "Tensor"  # shaped as labels: weight of each token in the loss
    examples: int  # whose losses are averaged, if these are not of tokens
    reference: "Tensor"  # (batch,), the log-probability (nats) of each row's answer under the reference
    ratings: "Tensor"  # (examples,), whether the answer is good
    factors: "Tensor"  # (examples,), the weight of each in the loss
    prefix: list[int]  # tokens before each row, for a model that reads them itself;
    past_key_values: object  # their keys and values, for any other
    use_cache: bool
    num_items_in_batch: "Tensor"  # divisor of the summed loss, if it is not the batch's own count
    logits_to_keep: int  # kept: number of last tokens of each row that get logits


class Processor(Protocol):
    """Turns prepared rows into tokens; objectives extend it."""

    @property
    def pad_token_id(self) -> int:
        """The token that pads shorter rows."""
        ...

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of `tokens`."""
        ...


def to_device(batch: Batch, device: "Device | str") -> Batch:
    """`batch` with its tensors on `device`."""
    return cast(Batch, {name: value.to(device) if hasattr(value, "to") else value for name, value in batch.items()})


def shared_prefix(rows: Sequence[Completion]) -> list[int]:
    """The token ids that all prompts begin with (the system message, mostly); never a whole prompt."""
    prompts = [row["input_ids"][: row["prompt_length"] - 1] for row in rows]
    low, high = min(prompts), max(prompts)  # a prefix that the extremes share is shared by all
    same = next((i for i, (a, b) in enumerate(zip(low, high, strict=False)) if a != b), min(len(low), len(high)))
    return low[:same]


def left_padded(rows: Sequence[Completion], pad_token_id: int, prefix_length: int = 0) -> Batch:
    """A batch, padded on the left so that answers are at its end and logits are needed for the last tokens only.

    input_ids and position_ids leave out the first `prefix_length` tokens of each row, which the caller has in its
    key-value cache; attention_mask includes them. `logits_to_keep` is 1 plus the largest number of tokens after a
    prompt. Padding is masked by position, never by id: pad may equal EOS. The batch has weights if any is neither 0
    nor 1.
    """
    import torch

    time = max(len(row["input_ids"]) for row in rows) - prefix_length
    kept = max(len(row["input_ids"]) - row["prompt_length"] for row in rows) + 1
    input_ids = torch.full((len(rows), time), pad_token_id)
    attention_mask = torch.ones(len(rows), prefix_length + time, dtype=torch.long)
    labels, weights = torch.full((len(rows), kept), -100), torch.zeros(len(rows), kept)
    for i, row in enumerate(rows):
        ids, answer = (
            torch.tensor(row["input_ids"][prefix_length:]),
            torch.tensor(row["input_ids"][row["prompt_length"] :]),
        )
        input_ids[i, time - len(ids) :] = ids
        attention_mask[i, prefix_length : prefix_length + time - len(ids)] = 0
        labels[i, kept - len(answer) :] = answer
        weights[i, kept - len(answer) :] = torch.tensor(row["weights"]) if "weights" in row else 1.0
    labels[weights == 0] = -100
    position_ids = (attention_mask.cumsum(-1) - 1).clamp(min=0)[:, prefix_length:]
    batch: Batch = {
        "input_ids": input_ids,
        "attention_mask": attention_mask,
        "position_ids": position_ids,
        "labels": labels,
        "logits_to_keep": kept,
    }
    if ((weights != 0) & (weights != 1)).any():
        batch["weights"] = weights
    return batch
