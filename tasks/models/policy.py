"""The arithmetic of proximal policy optimisation (Schulman et al. 2017, arXiv:1707.06347) on answers, and a value head.

Functions know no model. A row is an answer, a column one of its tokens; answers end in the last column, and `mask` is
1 for their tokens and 0 for the padding before them. All is in fp32.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import nn

from tasks.dataset.encoded import Batch

TINY = 1e-8


class Advantages(NamedTuple):
    """(rows, tokens) each: by how much a token was better than expected, and what the value should have been."""

    advantages: torch.Tensor
    returns: torch.Tensor


def mean(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The mean over the tokens of all answers."""
    return (values * mask).sum() / mask.sum()


def whitened(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """`values` with mean 0 and variance 1 over all tokens, and 0 in the padding; unscaled if they are all the same."""
    centred = (values - mean(values, mask)) * mask
    deviation = mean(centred**2, mask).sqrt()
    return centred / (deviation + TINY) if deviation > TINY else centred


def token_rewards(scores: torch.Tensor, log_ratio: torch.Tensor, mask: torch.Tensor, kl_coef: float) -> torch.Tensor:
    """-kl_coef (log p - log p of the parent) for each token, and the answer's score at its last one (Ziegler et al.
    2019, arXiv:1909.08593, eq. 2); `scores`: (rows,).
    """
    rewards = -kl_coef * log_ratio * mask
    rewards[:, -1] += scores
    return rewards


def advantages(
    rewards: torch.Tensor, values: torch.Tensor, mask: torch.Tensor, gamma: float, lam: float
) -> Advantages:
    """Generalised advantages (Schulman et al. 2015, arXiv:1506.02438, eq. 16): A_t = δ_t + γλ A_{t+1} with
    δ_t = r_t + γ V_{t+1} - V_t, and nothing after the last token; returns are A + V.
    """
    values = values * mask
    estimated = torch.zeros_like(rewards)
    after = torch.zeros_like(rewards[:, 0])
    following = torch.zeros_like(after)
    for step in reversed(range(rewards.shape[1])):
        delta = rewards[:, step] + gamma * following - values[:, step]
        after = (delta + gamma * lam * after) * mask[:, step]
        estimated[:, step], following = after, values[:, step]
    return Advantages(estimated, (estimated + values) * mask)


def policy_loss(
    logp: torch.Tensor, old: torch.Tensor, advantage: torch.Tensor, mask: torch.Tensor, cliprange: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """(the sum of -min(r A, clip(r, 1 - ε, 1 + ε) A) over tokens, how many of them were clipped), r = p / p_old
    (Schulman et al. 2017, eq. 7).
    """
    ratio = (logp - old).exp()
    plain, clipped = -advantage * ratio, -advantage * ratio.clamp(1 - cliprange, 1 + cliprange)
    return (torch.maximum(plain, clipped) * mask).sum(), ((clipped > plain) * mask).sum()


def value_loss(
    values: torch.Tensor, old: torch.Tensor, returns: torch.Tensor, mask: torch.Tensor, cliprange: float
) -> torch.Tensor:
    """The sum of ½ max((V - R)², (V_old + clip(V - V_old, ±ε) - R)²) over tokens."""
    clipped = old + (values - old).clamp(-cliprange, cliprange)
    return (0.5 * torch.maximum((values - returns) ** 2, (clipped - returns) ** 2) * mask).sum()


def divergence(logp: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """An estimate of KL(p, reference) in nats at each drawn token that is unbiased and never negative: r - 1 - log r
    with r = reference / p (Schulman 2020, "Approximating KL divergence", k3).
    """
    log_ratio = reference - logp
    return log_ratio.exp() - 1 - log_ratio


def adapted(kl_coef: float, kl: float, target: float | None, gain: float = 0.1) -> float:
    """The next coefficient: kl_coef (1 + gain e) with e = clip(kl / target - 1, ±0.2) (Ziegler et al. 2019, section
    2.2); unchanged without a target.
    """
    if target is None:
        return kl_coef
    return kl_coef * (1 + gain * min(0.2, max(-0.2, kl / target - 1)))


@dataclass(frozen=True)
class Moments:
    """Mean and variance of all scores so far (Chan et al. 1979)."""

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0  # the sum of squared differences from the mean

    def with_more(self, scores: torch.Tensor) -> "Moments":
        """The moments of these scores and the earlier ones."""
        new = scores.double()
        count, centre = self.count + len(new), float(new.mean())
        apart = centre - self.mean
        squares = self.squares + float(((new - centre) ** 2).sum()) + apart**2 * self.count * len(new) / count
        return Moments(count, self.mean + apart * len(new) / count, squares)

    def normalised(self, scores: torch.Tensor) -> torch.Tensor:
        """(scores - mean) / standard deviation; only centred as long as all were the same."""
        deviation = (self.squares / max(self.count, 1)) ** 0.5
        return (scores - self.mean) / (deviation if deviation > TINY else 1.0)


class Told(NamedTuple):
    """What a model says of the tokens of answers, (rows, tokens) each, in fp32."""

    logp: torch.Tensor  # log-probability in nats, at the temperature
    entropy: torch.Tensor  # nats
    values: torch.Tensor
    mask: torch.Tensor


class Valued(nn.Module):  # type: ignore[misc]
    """A model that writes, and a linear head in fp32 on its last hidden states: the reward that is still expected."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body, self.config = body, body.config
        layer = body.get_output_embeddings()
        weight = layer.weight
        self.value = nn.Linear(body.config.get_text_config().hidden_size, 1, device=weight.device)
        nn.init.zeros_(self.value.weight)
        nn.init.zeros_(self.value.bias)
        self._hidden: list[torch.Tensor] = []  # what the head of the last pass has read
        layer.register_forward_pre_hook(self._note)

    def _note(self, _: nn.Module, inputs: tuple[torch.Tensor]) -> None:
        self._hidden = [inputs[0]]

    def forward(self, **inputs: object) -> tuple[torch.Tensor, torch.Tensor]:
        """(rows, kept, vocabulary): logits, and (rows, kept): values."""
        logits = self.body(**inputs).logits
        (hidden,) = self._hidden
        self._hidden = []
        with torch.autocast(hidden.device.type, enabled=False):
            values = self.value(hidden.float()).squeeze(-1)
        return logits, values


def tell(model: Valued, batch: Batch, temperature: float = 1.0) -> Told:
    """What `model` says of the answers in a left-padded batch."""
    inputs: Mapping[str, object] = {
        name: value
        for name, value in batch.items()
        if name in ("input_ids", "attention_mask", "position_ids", "logits_to_keep")
    }
    logits, values = model(**inputs, use_cache=False)
    targets = batch["labels"][:, 1:]
    logp = (logits[:, :-1].float() / temperature).log_softmax(-1)
    entropy = -(logp.detach().exp() * logp.detach()).sum(-1)
    picked = logp.gather(-1, targets.clamp(min=0).unsqueeze(-1)).squeeze(-1)
    return Told(picked, entropy, values[:, :-1], targets.ne(-100).float())
