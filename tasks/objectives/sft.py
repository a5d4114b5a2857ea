"""Supervised fine-tuning: the negative log-likelihood of the answer given what precedes it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from tasks import objectives
from tasks.dataset import packing
from tasks.dataset.encoded import Batch, Completion, Packed, left_padded
from tasks.dataset.rows import Prepared
from tasks.dialogues import dialogue
from tasks.models import lm
from tasks.section import Section

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PreTrainedTokenizerBase as Tokenizer

summary = "to answer as the rows do"
eats = frozenset({"chat", "infill"})
head: objectives.Head = "lm"
needs_parent = False
shares_prefix = True
rate_share = 1.0
watch = ("eval_loss", False)
architectures = lm.ARCHITECTURES
processor, check, parent = lm.processor, lm.check, lm.parent
with_head, body, with_body, save_head = lm.with_head, lm.body, lm.with_body, lm.save_head

Factor = Annotated[float, Field(ge=0, le=1000, description="times as much as other tokens")]


class Params(Section):
    """Loss on the assistant's turns; `weights` says how much columns of a JSON answer count in it.

    Packing is for GPUs and rows of very different lengths: on a CPU it gained nothing over batches of like length
    (bench/packing_speed.py), and a beginning that all prompts share is then not read once only.
    """

    kind: Literal["sft"]
    packing: bool = Field(default=False, description="pack several examples into a row, without attention between them")
    weights: dict[str, Factor] = Field(
        default={}, description="column of a JSON answer: weight of its tokens in the loss"
    )


def packs(params: Params) -> bool:
    """If `packing` is set."""
    return params.packing


def encode(params: Params, tokenizer: "Tokenizer", row: Prepared) -> Completion:
    """The row as tokens, with weights where tokens after the first trained one count differently."""
    encoded = dialogue.encode(tokenizer, row)
    return dialogue.weigh_columns(tokenizer, row, encoded, params.weights) if params.weights else encoded


def arrange(
    params: Params, encoded: Sequence[Completion], max_length: int
) -> tuple[list[Completion] | list[Packed], int]:
    """One example a row, or several with packing; longer examples are left out."""
    kept, left_out = objectives.fitting(encoded, max_length)
    return packing.pack(kept, max_length) if params.packing else kept, left_out


def collate(rows: Sequence[Completion | Packed], pad_token_id: int, prefix_length: int = 0) -> Batch:
    """Padded on the left, see tasks/dataset/encoded.py; packed rows on the right, see tasks/dataset/packing.py."""
    if packed := [row for row in rows if "examples" in row]:
        return packing.collate(packed, pad_token_id)
    return left_padded([row for row in rows if "prompt_length" in row], pad_token_id, prefix_length)


def loss(params: Params, model: "nn.Module", batch: Batch, num_items: "Tensor | None") -> "Tensor":
    """The mean negative log-likelihood of the batch's trained tokens, weighted where they have weights."""
    if params.packing:
        return packing.loss(model, batch, num_items)
    if "weights" in batch:
        return _weighted(model, batch, num_items)
    counted = {} if num_items is None else {"num_items_in_batch": num_items}
    value: Tensor = model(**batch, **counted)["loss"]
    return value


def _weighted(model: "nn.Module", batch: Batch, num_items: "Tensor | None") -> "Tensor":
    from torch.nn.functional import cross_entropy

    inputs = {name: value for name, value in batch.items() if name not in ("labels", "weights")}
    logits = model(**inputs).logits[:, :-1].float()
    weights = batch["weights"][:, 1:]
    nll = cross_entropy(logits.transpose(1, 2), batch["labels"][:, 1:], ignore_index=-100, reduction="none")
    return (nll * weights).sum() / (weights.sum() if num_items is None else num_items)


def trained_on(encoded: Completion | Packed) -> Sequence[float]:
    """The assistant's turns with their ends, by their weights."""
    return packing.trained_on(encoded) if "examples" in encoded else dialogue.weights(encoded)
