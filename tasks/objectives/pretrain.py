"""Continued pre-training (Gururangan et al. 2020, arXiv:2004.10964): the negative log-likelihood of whole texts."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, Field

from tasks import objectives
from tasks.dataset import packing
from tasks.dataset.encoded import Batch, Completion, Packed
from tasks.dataset.rows import Prepared
from tasks.dialogues import dialogue, special
from tasks.dialogues.chat import cut
from tasks.models import lm
from tasks.section import Section

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PreTrainedTokenizerBase as Tokenizer

summary = "to continue texts"
eats = frozenset({"text", "infill"})
head: objectives.Head = "lm"
needs_parent = False
shares_prefix = False
rate_share = 1.0
watch = ("eval_loss", False)
architectures = lm.ARCHITECTURES
processor, check, parent = lm.processor, lm.check, lm.parent
with_head, body, with_body, save_head = lm.with_head, lm.body, lm.with_body, lm.save_head


def _texts(texts: list[str]) -> list[str]:
    for place, text in enumerate(texts):
        if not text.strip(f" {special.JOINER}\u200b"):
            raise ValueError(f"text {place + 1} of them is empty; remove it")
        if text in texts[:place]:
            raise ValueError(f"{text!r} is listed twice; remove one")
        if special.MARK.search(text) or any(mark in text for mark in special.USUAL.texts):
            raise ValueError(f"{text!r} looks like a turn marker, which text must not contain; remove it")
    return texts


class Params(Section):
    """Loss on every token of a text and on its end. Texts share rows of max_length, and none sees another.

    `new_tokens` become tokens of their own, in the tokenizer that is saved with the model (tasks/models/vocabulary.py).
    """

    kind: Literal["pretrain"]
    new_tokens: Annotated[list[str], AfterValidator(_texts)] = Field(
        default=[], description="strings that become tokens"
    )


def packs(params: Params) -> bool:
    """Always."""
    return True


def encode(params: Params, tokenizer: "Tokenizer", row: Prepared) -> Completion:
    """The whole text, also of one with a hole; a dialogue among the texts is encoded as by sft."""
    encoded = dialogue.encode(tokenizer, row)
    return {**encoded, "prompt_length": 1} if "infill" in row else encoded


def arrange(params: Params, encoded: Sequence[Completion], max_length: int) -> tuple[list[Packed], int]:
    """Packed rows. A text longer than a row continues in another; a longer dialogue or hole is left out."""
    kept = [example for example in encoded if _is_text(example) or len(example["input_ids"]) <= max_length]
    pieces = [piece for example in kept for piece in cut(example, max_length)]
    return packing.pack(pieces, max_length), len(encoded) - len(kept)


def _is_text(encoded: Completion) -> bool:
    """Whether all tokens but the first are trained on, and it may be cut."""
    return encoded["prompt_length"] == 1 and not encoded.get("is_whole")


def collate(rows: Sequence[Packed], pad_token_id: int, prefix_length: int = 0) -> Batch:
    """See tasks/dataset/packing.py."""
    return packing.collate(rows, pad_token_id)


def loss(params: Params, model: "nn.Module", batch: Batch, num_items: "Tensor | None") -> "Tensor":
    """The mean negative log-likelihood of a token."""
    return packing.loss(model, batch, num_items)


def trained_on(encoded: Packed) -> Sequence[float]:
    """All but the first token of each text, which has no context."""
    return packing.trained_on(encoded)
