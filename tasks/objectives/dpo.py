"""Direct preference optimisation (Rafailov et al. 2023, arXiv:2305.18290, eq. 7), against the parent."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from tasks import objectives
from tasks.dataset.encoded import Batch, Completion, Encoded, left_padded
from tasks.dataset.rows import Prepared
from tasks.dialogues import chat
from tasks.models import lm
from tasks.section import Section

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PreTrainedTokenizerBase as Tokenizer

summary = "to prefer one answer over another, while staying close to the parent"
eats = frozenset({"preference"})
head: objectives.Head = "lm"
needs_parent = True
shares_prefix = False
rate_share = 0.01  # 1e-6 for full tuning of 135M (alignment-handbook, recipes/smollm2), 5e-6 for QLoRA of 7B
watch = ("eval_loss", False)
packs, arrange = objectives.never_packs, objectives.whole_rows
architectures = lm.ARCHITECTURES
processor, check, parent = lm.processor, lm.check, lm.parent
with_head, body, with_body, save_head = lm.with_head, lm.body, lm.with_body, lm.save_head


class Params(Section):
    """DPO with the sigmoid loss; `beta` as in trl."""

    kind: Literal["dpo"]
    beta: Annotated[float, Field(gt=0, le=10, description="strength of the penalty for departing from the parent")] = (
        0.1
    )


class Compared(Encoded):
    """Both answers to a row; `input_ids` is the longer one, by which rows are grouped."""

    prompt_length: int  # of the longer
    both: tuple[Completion, Completion]  # chosen, rejected


def encode(params: Params, tokenizer: "Tokenizer", row: Prepared) -> Compared:
    """Both answers as sft encodes one."""
    other = row.copy()
    other["answer"] = row["rejected"]
    both = chat.encode(tokenizer, row), chat.encode(tokenizer, other)
    longer = max(both, key=lambda encoded: len(encoded["input_ids"]))
    return {
        "id": row["id"],
        "input_ids": longer["input_ids"],
        "prompt_length": longer["prompt_length"],
        "both": both,
    }


def collate(rows: Sequence[Compared], pad_token_id: int, prefix_length: int = 0) -> Batch:
    """The chosen answers, then the rejected ones."""
    chosen, rejected = zip(*(row["both"] for row in rows), strict=True)
    return left_padded([*chosen, *rejected], pad_token_id, prefix_length)


def loss(params: Params, model: "nn.Module", batch: Batch, num_items: "Tensor | None") -> "Tensor":
    """-log sigmoid(beta (tuned margin - parent margin)), margin = log p(chosen) - log p(rejected); mean over rows."""
    import torch

    with torch.no_grad(), model.disable_adapter():
        chosen, rejected = lm.answer_log_probabilities(model, batch).chunk(2)
    tuned_chosen, tuned_rejected = lm.answer_log_probabilities(model, batch).chunk(2)
    margin = (tuned_chosen - tuned_rejected) - (chosen - rejected)
    return -torch.nn.functional.logsigmoid(params.beta * margin).mean()


def trained_on(encoded: Compared) -> list[bool]:
    """The longer answer."""
    return [place >= encoded["prompt_length"] for place in range(len(encoded["input_ids"]))]
