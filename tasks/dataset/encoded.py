"""What a row is where a model is trained on it: as tokens, and with others in a batch.

An objective whose rows hold more has a type of its own, which says what.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NotRequired, Protocol, Required, TypedDict, cast, final

if TYPE_CHECKING:
    from torch import Tensor
    from torch import device as Device


class Encoded(TypedDict):
    """A row as tokens: what all objectives' have."""

    id: str
    input_ids: list[int]  # by their number rows are grouped
    epoch: NotRequired[int]  # in which the row is trained on, from 0; noted before each


@final
class Completion(Encoded):
    """A prompt, and the tokens after it that are trained on."""

    prompt_length: int  # tokens that are only read
    weights: NotRequired[list[float]]  # of each token behind those in the loss, where they are not all 1


@final
class Packed(Encoded):
    """Several examples in a row, without attention between them (tasks/dataset/packing.py)."""

    examples: list[Completion]


class Labelled(Encoded):
    """A text, or an image, and its classes."""

    labels: list[int]  # a column each, the number of the class


class Batch(TypedDict, total=False):
    """Rows that a model reads together. `time`: tokens of the longest of them, others are padded."""

    input_ids: Required["Tensor"]  # (batch, time), token ids
    attention_mask: Required["Tensor"]  # (batch, time), 0 in the padding; with tokens of a shared prefix before it
    position_ids: "Tensor"  # (batch, time)
    token_type_ids: "Tensor"  # (batch, time), 1 of a text behind its question
    pixel_values: "Tensor"  # (batch, channels, height, width)
    is_place: "Tensor"  # (batch, time), whether an answer may begin or end there
    labels: "Tensor"  # what is right: tokens (batch, kept), tags (batch, time), -100 where none is; (batch, columns)
    weights: "Tensor"  # as labels: how much each token counts
    prefix: list[int]  # tokens that stand before each row, of which a model is told that reads them itself;
    past_key_values: object  # what any other has made of them
    use_cache: bool
    num_items_in_batch: "Tensor"  # what the summed loss is divided by, where not by the batch's own
    logits_to_keep: int  # kept: the last tokens of all rows that have logits


class Processor(Protocol):
    """What turns prepared rows into tokens; an objective's own knows more."""

    @property
    def pad_token_id(self) -> int:
        """What fills rows that are shorter than others."""
        ...

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of `tokens`."""
        ...


def to_device(batch: Batch, device: "Device | str") -> Batch:
    """`batch` with its tensors there."""
    return cast(Batch, {name: value.to(device) if hasattr(value, "to") else value for name, value in batch.items()})


def shared_prefix(rows: Sequence[Completion]) -> list[int]:
    """The token ids that all prompts begin with (the system message, mostly); never a whole prompt."""
    prompts = [row["input_ids"][: row["prompt_length"] - 1] for row in rows]
    low, high = min(prompts), max(prompts)  # what the extremes share, all share
    same = next((i for i, (a, b) in enumerate(zip(low, high, strict=False)) if a != b), min(len(low), len(high)))
    return low[:same]


def left_padded(rows: Sequence[Completion], pad_token_id: int, prefix_length: int = 0) -> Batch:
    """A batch, padded on the left so that the answers stand at its end and logits are needed for the last tokens only.

    input_ids and position_ids are without the first `prefix_length` tokens of each row, which the caller has in its
    key-value cache; attention_mask has them. `logits_to_keep`: the most tokens from the first that is trained on, + 1.
    Padding is masked by position, never by id: pad may equal EOS. Where a token counts neither 0 nor 1, the batch has
    weights.
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
