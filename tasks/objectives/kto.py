"""Kahneman-Tversky optimisation: learning from answers that are rated good or bad, one at a time (Ethayarajh et al.
2024, arXiv:2402.01306, eq. 7 and 8), against a stored reference.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from tasks import objectives
from tasks.dataset import compared
from tasks.dataset.compared import Compared
from tasks.dataset.encoded import Batch
from tasks.dataset.rows import Prepared, Splits
from tasks.dialogues import chat
from tasks.models import lm
from tasks.section import Section

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PreTrainedTokenizerBase as Tokenizer

summary = "to write what is rated good and not what is rated bad, while staying close to a reference"
eats = frozenset({"rated"})
head: objectives.Head = "lm"
needs_parent = False
needs_reference = True
shares_prefix = True
rate_share = 0.01  # as dpo: 5e-7 to 5e-6 for full tuning (the paper, section 4.1)
watch = ("eval_loss", False)
packs = objectives.never_packs
architectures = lm.ARCHITECTURES
parent = lm.parent
with_head, body, with_body, save_head = lm.with_head, lm.body, lm.with_body, lm.save_head
collate, trained_on, tokens_read = compared.collate, compared.trained_on, compared.tokens_read
BALANCED = (1.0, 4 / 3)  # between which good rows should weigh as much as bad ones (the paper, section 4.2)


class Params(Section):
    """KTO; names as in trl. Good and bad rows are weighted to count about alike, unless both weights are set."""

    kind: Literal["kto"]
    loss_type: Literal["kto", "apo_zero_unpaired"] = Field(
        default="kto",
        description="kto: against the divergence from the reference; apo_zero_unpaired: against none, for good answers "
        "that are better than the reference's own (arXiv:2408.06266)",
    )
    beta: float = Field(
        default=0.1, gt=0, le=10, description="strength of the penalty for departing from the reference"
    )
    desirable_weight: float | None = Field(
        default=None, gt=0, le=1000, description="weight of good rows; by default from the numbers of both"
    )
    undesirable_weight: float | None = Field(
        default=None, gt=0, le=1000, description="weight of bad rows; by default from the numbers of both"
    )

    @model_validator(mode="after")
    def _weighs_both(self) -> "Params":
        if (self.desirable_weight is None) != (self.undesirable_weight is None):
            raise ValueError("one of desirable_weight and undesirable_weight is set; set both, or none")
        return self


@dataclass(frozen=True)
class Rated:
    """A tokenizer, and the weights of good and of bad rows."""

    tokenizer: "Tokenizer"
    good: float
    bad: float

    @property
    def pad_token_id(self) -> int:
        """The tokenizer's."""
        token: int = self.tokenizer.pad_token_id
        return token

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of `tokens`."""
        return str(self.tokenizer.decode(tokens))


def processor(params: Params, weights: Path, rows: Sequence[Prepared]) -> Rated:
    """The tokenizer, and the weights for the training `rows`."""
    good, bad = params.desirable_weight, params.undesirable_weight
    if good is None or bad is None:
        good, bad = balance([bool(row.get("rating")) for row in rows])
    return Rated(chat.load_tokenizer(weights), good, bad)


def balance(ratings: Sequence[bool]) -> tuple[float, float]:
    """The weights of good and of bad rows, with a mean of 1 over rows, so that all good rows together weigh as much as
    all bad ones, or up to 4/3 as much where there are more of them. With one rating only, which `check` refuses: 1.
    """
    good, total = sum(ratings), len(ratings)
    if good in (0, total):
        return 1.0, 1.0
    low, high = BALANCED
    share = min(max(good / (total - good), low), high)
    return total * share / (1 + share) / good, total / (1 + share) / (total - good)


def check(processor: Rated, rows: Splits) -> None:
    """Raise AnnealError if the chat template does not fit the rows, one lacks a reference, or ratings are all alike."""
    lm.check(processor.tokenizer, rows)
    compared.check_references("kto", rows)
    compared.check_ratings(rows)


def encode(params: Params, processor: Rated, row: Prepared) -> Compared:
    """The answer, and its mate where the loss needs the divergence from the reference."""
    count = 2 if params.loss_type == "kto" else 1
    both = compared.encode(processor.tokenizer, row, compared.answers(row)[:count])
    return {
        "id": row["id"],
        "input_ids": both[0]["input_ids"],
        "prompt_length": both[0]["prompt_length"],
        "both": tuple(both),
        "reference": row["reference"][:count],
        "rating": row["rating"],
        "factor": processor.good if row["rating"] else processor.bad,
    }


def arrange(params: Params, encoded: Sequence[Compared], max_length: int) -> tuple[list[Compared], int]:
    """One answer a row; those that are longer, or whose mate is, are left out."""
    return compared.arrange(encoded, max_length)


def loss(params: Params, model: "nn.Module", batch: Batch, num_items: "Tensor | None") -> "Tensor":
    """The mean over rows of `losses`."""
    return measured(params, model, batch, num_items)[0]


def measured(
    params: Params, model: "nn.Module", batch: Batch, num_items: "Tensor | None"
) -> "tuple[Tensor, dict[str, Tensor]]":
    """(the loss, figures of the rows named as in trl)."""
    values, good = lm.answer_log_probabilities(model, batch), batch["ratings"]
    ratios, mates = (values - batch["reference"]).split([len(good), len(values) - len(good)])
    divergence = mates.detach().mean().clamp(min=0) if len(mates) else ratios.new_zeros(())
    total = (batch["factors"] * losses(params, ratios, good, divergence)).mean()
    rewards, answers = params.beta * ratios, values[: len(good)]
    figures = {"rewards/chosen": rewards[good], "rewards/rejected": rewards[~good], "kl": divergence[None]}
    figures |= {"logps/chosen": answers[good], "logps/rejected": answers[~good]}
    return compared.of_step(total, batch, num_items), figures


def losses(params: Params, ratios: "Tensor", good: "Tensor", divergence: "Tensor") -> "Tensor":
    """(rows,): 1 - s(β(r - z)) of a good row and 1 - s(β(z - r)) of a bad one, where s is the sigmoid, r the log-ratio
    (nats) of tuned to reference and z its mean over mates, the divergence, not below 0; apo_zero_unpaired: z = 0.
    """
    import torch

    sign = torch.where(good, 1.0, -1.0)
    return 1 - torch.sigmoid(params.beta * sign * (ratios - divergence))
