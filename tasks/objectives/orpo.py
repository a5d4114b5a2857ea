"""Preferences without a reference by odds ratios (Hong et al. 2024, arXiv:2403.07691, eq. 6 and 7)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from tasks import objectives
from tasks.dataset import compared
from tasks.dataset.compared import Compared
from tasks.dataset.encoded import Batch
from tasks.dataset.rows import Prepared, Splits
from tasks.models import lm
from tasks.section import Section

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PreTrainedTokenizerBase as Tokenizer

summary = "to write the preferred answers, and to find the others less likely"
eats = frozenset({"preference"})
head: objectives.Head = "lm"
needs_parent = False
shares_prefix = True
rate_share = 0.1  # 8e-6 for full tuning of 7B (the paper, section 5)
watch = ("eval_loss", False)
packs = objectives.never_packs
architectures = lm.ARCHITECTURES
processor, parent = lm.processor, lm.parent
with_head, body, with_body, save_head = lm.with_head, lm.body, lm.with_body, lm.save_head
collate, trained_on, tokens_read = compared.collate, compared.trained_on, compared.tokens_read
HIGHEST = -1.0e-6  # nats: log odds grow without bound as a mean log-probability goes to zero


class Params(Section):
    """ORPO; `beta` as in trl."""

    kind: Literal["orpo"]
    beta: float = Field(default=0.1, gt=0, le=10, description="weight of the odds ratio beside the likelihood")


def check(processor: "Tokenizer", rows: Splits) -> None:
    """Raise AnnealError if the chat template does not fit the rows with either answer."""
    lm.check_both(processor, rows)


def encode(params: Params, tokenizer: "Tokenizer", row: Prepared) -> Compared:
    """Both answers as sft encodes one."""
    return compared.pair(tokenizer, row)


def arrange(params: Params, encoded: Sequence[Compared], max_length: int) -> tuple[list[Compared], int]:
    """One pair a row; pairs with a longer answer are left out."""
    return compared.arrange(encoded, max_length)


def loss(params: Params, model: "nn.Module", batch: Batch, num_items: "Tensor | None") -> "Tensor":
    """The negative log-likelihood a token of the chosen answers, plus the mean of `losses` over pairs."""
    return measured(params, model, batch, num_items)[0]


def measured(
    params: Params, model: "nn.Module", batch: Batch, num_items: "Tensor | None"
) -> "tuple[Tensor, dict[str, Tensor]]":
    """(the loss, figures of the pairs named as in trl)."""
    values, lengths = lm.answer_log_probabilities(model, batch), lm.answer_lengths(batch)
    means = values / lengths
    nll = -values.chunk(2)[0].sum() / lengths.chunk(2)[0].sum()
    total = nll + losses(params, means).mean()
    return compared.of_step(total, batch, num_items), compared.figures(params.beta, means, means)


def losses(params: Params, means: "Tensor") -> "Tensor":
    """(pairs,): -β log s(log odds(chosen) - log odds(rejected)) of mean log-probabilities l (nats) of a token, where
    log odds = l - log(1 - exp l) and s is the sigmoid.

    trl takes the likelihood of prompts too; here, as everywhere, only answers are trained on.
    """
    import torch

    below = means.float().clamp(max=HIGHEST)
    chosen, rejected = (below - torch.log(-torch.expm1(below))).chunk(2)
    return -params.beta * torch.nn.functional.logsigmoid(chosen - rejected)
