"""Supervised fine-tuning: the answer's negative log-likelihood, given the prompt."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from tasks import chat, objectives
from tasks.section import Section

if TYPE_CHECKING:
    from torch import Tensor, nn

summary = "to answer as the rows do"
eats = frozenset({"chat"})
needs_parent = False
shares_prefix = True
watch = ("eval_loss", False)


class Params(Section):
    """Loss on the answer only."""

    kind: Literal["sft"]


def packs(params: Params) -> bool:
    """Never."""
    return False


def encode(params: Params, tokenizer: Any, row: Mapping[str, Any]) -> dict[str, Any]:
    """`{id, input_ids, prompt_length}`."""
    return chat.encode(tokenizer, dict(row))


def arrange(params: Params, encoded: Sequence[dict[str, Any]], max_length: int) -> tuple[list[dict[str, Any]], int]:
    """An example is a row; one that is longer than a row is left out."""
    return objectives.fitting(encoded, max_length)


def collate(rows: Sequence[dict[str, Any]], pad_token_id: int, prefix_length: int = 0) -> dict[str, Any]:
    """Padded on the left, see tasks/chat.py."""
    return chat.collate(list(rows), pad_token_id, prefix_length)


def loss(params: Params, model: "nn.Module", batch: dict[str, Any], num_items: "Tensor | None") -> "Tensor":
    """The mean negative log-likelihood of the batch's answer tokens."""
    counted = {} if num_items is None else {"num_items_in_batch": num_items}
    value: Tensor = model(**batch, **counted)["loss"]
    return value


def trained_on(encoded: Mapping[str, Any]) -> list[bool]:
    """The answer and its end of turn."""
    return [place >= encoded["prompt_length"] for place in range(len(encoded["input_ids"]))]
