"""Proximal policy optimisation (Schulman et al. 2017, arXiv:1707.06347) of answers that the model writes itself, with a
penalty for departing from the parent (Ziegler et al. 2019, arXiv:1909.08593).

The reward is that of the dataset's rubric. A head on the last hidden states learns the reward that is still expected;
it is left out of what is saved. The arithmetic is in tasks/models/policy.py, the Trainer in tasks/stages/train/online.
"""

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from tasks import objectives
from tasks.models import lm, prompted
from tasks.models.prompted import Limits
from tasks.weights import layer_groups

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedTokenizerBase as Tokenizer

summary = "to earn a reward with answers of its own, while staying close to the parent; PPO"
eats = prompted.EATS
head: objectives.Head = "lm"
needs_parent = True
shares_prefix = False
rate_share = 0.05  # 3e-6 for full tuning of 1B parameters (trl 0.29, examples/scripts/ppo), ten times that for LoRA
watch = ("eval_reward", True)
online = "ppo"
packs = objectives.never_packs
architectures = lm.ARCHITECTURES
processor, check, parent = lm.processor, lm.check, lm.parent
save_head, with_body = lm.save_head, lm.with_body
encode, arrange, trained_on = prompted.encode, prompted.arrange, prompted.trained_on
collate, loss = objectives.by_its_trainer, objectives.by_its_trainer

Share = Annotated[float, Field(ge=0, le=1)]


class Params(layer_groups.Headed):
    """PPO; names are those of trl's PPOConfig."""

    kind: Literal["ppo"]
    max_completion_length: int = Field(default=64, ge=1, le=100_000, description="tokens of an answer at most")
    temperature: float = Field(default=1.0, gt=0, le=5, description="of the answers that are learnt from")
    num_mini_batches: int = Field(
        default=1, ge=1, le=1000, description="steps in which a set of answers is learnt once; each has its own rows"
    )
    num_ppo_epochs: int = Field(default=4, ge=1, le=100, description="times that a set of answers is learnt from")
    kl_coef: float = Field(default=0.05, ge=0, le=100, description="penalty for each nat of departure from the parent")
    target_kl: float | None = Field(
        default=None, gt=0, le=100, description="nats a token that kl_coef is adapted to reach; null: it stays as it is"
    )
    normalize_rewards: bool = Field(
        default=True, description="subtract the mean of all rewards so far, and divide by their standard deviation"
    )
    missing_eos_penalty: float = Field(
        default=1.0, ge=0, le=100, description="subtracted from the normalised reward of an answer without an end"
    )
    gamma: Share = Field(default=1.0, description="discount of later rewards for each token")
    lam: Share = Field(default=0.95, description="0: advantages trust the values; 1: the rewards alone")
    cliprange: float = Field(default=0.2, gt=0, le=10, description="bound on the change of a token's probability")
    cliprange_value: float = Field(default=0.2, gt=0, le=100, description="bound on the change of a value")
    vf_coef: float = Field(default=0.1, ge=0, le=100, description="weight of the value loss")
    limits: Limits = Field(default=Limits(), description="where the training stops although its reward rises")


def with_head(params: Params, body: "nn.Module", processor: "Tokenizer") -> "nn.Module":
    """`body` with a value for each token."""
    from tasks.models.policy import Valued

    return Valued(lm.with_head(params, body, processor))


def body(model: "nn.Module") -> "nn.Module":
    """The model without its values."""
    whole: nn.Module = model.body
    return whole
