"""The arithmetic of PPO against cases computed by hand, and its gradient against the policy gradient."""

import math

import pytest
import torch

from tasks.models import policy
from tasks.models.policy import Moments

pytestmark = pytest.mark.slow  # torch is loaded

MASK = torch.tensor([[1.0, 1.0, 1.0], [0.0, 1.0, 1.0]])  # the second answer has two tokens


def test_an_advantage_is_the_discounted_sum_of_surprises() -> None:
    rewards = torch.tensor([[1.0, 0.0, 2.0], [9.0, 1.0, 4.0]])
    values = torch.tensor([[0.5, 1.0, 1.5], [9.0, 2.0, 1.0]])
    found = policy.advantages(rewards * MASK, values, MASK, gamma=0.5, lam=0.8)
    # first: δ = (1 + 0.5·1 - 0.5, 0 + 0.5·1.5 - 1, 2 - 1.5) = (1, -0.25, 0.5); A_t = δ_t + 0.4 A_{t+1}
    # second: δ = (1 + 0.5·1 - 2, 4 - 1) = (-0.5, 3)
    assert torch.allclose(found.advantages, torch.tensor([[0.98, -0.05, 0.5], [0.0, 0.7, 3.0]]))
    assert torch.allclose(found.returns, torch.tensor([[1.48, 0.95, 2.0], [0.0, 2.7, 4.0]]))


def test_without_values_and_discounts_a_return_is_the_sum_of_the_rewards_to_come() -> None:
    rewards = torch.tensor([[1.0, 2.0, 3.0]])
    found = policy.advantages(rewards, torch.zeros(1, 3), torch.ones(1, 3), gamma=1.0, lam=1.0)
    assert found.returns.tolist() == found.advantages.tolist() == [[6.0, 5.0, 3.0]]


def test_with_lambda_0_an_advantage_is_one_surprise() -> None:
    rewards, values = torch.tensor([[0.0, 1.0]]), torch.tensor([[0.25, 0.5]])
    assert policy.advantages(rewards, values, torch.ones(1, 2), 1.0, 0.0).advantages.tolist() == [[0.25, 0.5]]


def test_padding_changes_no_advantage() -> None:
    rewards, values = torch.rand(2, 5), torch.rand(2, 5)
    alone = policy.advantages(rewards, values, torch.ones(2, 5), 0.9, 0.9)
    wide = [torch.cat([torch.rand(2, 3), part], 1) for part in (rewards, values)]
    mask = torch.cat([torch.zeros(2, 3), torch.ones(2, 5)], 1)
    padded = policy.advantages(wide[0] * mask, wide[1], mask, 0.9, 0.9)
    for ours, theirs in zip(padded, alone, strict=True):
        assert torch.equal(ours[:, 3:], theirs) and not ours[:, :3].any()


def test_whitened_values_have_mean_0_and_variance_1_where_they_count() -> None:
    values = torch.tensor([[1.0, 2.0, 3.0], [77.0, 4.0, 5.0]])
    white = policy.whitened(values, MASK)
    assert torch.allclose(white * math.sqrt(2), torch.tensor([[-2.0, -1.0, 0.0], [0.0, 1.0, 2.0]]))
    assert not policy.whitened(torch.full((2, 3), 3.0), MASK).any()  # nothing to tell apart: no NaN


def test_a_score_stands_at_the_last_token_and_each_token_pays_for_its_departure() -> None:
    ratio = torch.tensor([[1.0, -1.0, 0.5], [5.0, 2.0, 0.0]])
    rewards = policy.token_rewards(torch.tensor([10.0, 20.0]), ratio, MASK, kl_coef=0.1)
    assert torch.allclose(rewards, torch.tensor([[-0.1, 0.1, 9.95], [0.0, -0.2, 20.0]]))


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "clipped"),
    [
        (1.0, 2.0, -2.0, 0),
        (1.1, 2.0, -2.2, 0),
        (1.5, 2.0, -2.4, 1),  # nothing is gained by going further than 1.2
        (0.5, 2.0, -1.0, 0),  # and all is lost by going the wrong way
        (0.5, -2.0, 1.6, 1),
        (1.5, -2.0, 3.0, 0),
    ],
)
def test_a_policy_gains_nothing_beyond_the_clip(ratio: float, advantage: float, loss: float, clipped: int) -> None:
    old = torch.tensor([[-1.0, -2.0]])
    logp = torch.tensor([[-1.0 + math.log(ratio), 5.0]], requires_grad=True)
    one = torch.tensor([[1.0, 0.0]])  # the other token is padding
    found, count = policy.policy_loss(logp, old, torch.tensor([[advantage, 9.0]]), one, 0.2)
    assert found.item() == pytest.approx(loss) and count.item() == clipped
    found.backward()
    assert bool(logp.grad[0, 0]) is not bool(clipped) and not logp.grad[0, 1]


@pytest.mark.parametrize(
    ("value", "target", "loss"), [(1.1, 2.0, 0.405), (1.5, 2.0, 0.32), (0.5, 2.0, 1.125), (1.5, 1.0, 0.125)]
)
def test_a_value_loss_is_the_larger_of_plain_and_clipped(value: float, target: float, loss: float) -> None:
    found = policy.value_loss(
        torch.tensor([[value, 9.0]]),
        torch.tensor([[1.0, 0.0]]),
        torch.tensor([[target, 0.0]]),
        torch.tensor([[1.0, 0.0]]),
        0.2,
    )
    assert found.item() == pytest.approx(loss)


def test_with_ratio_1_the_gradient_is_the_policy_gradient() -> None:
    torch.manual_seed(0)
    logits, advantage = torch.randn(2, 3, 7, requires_grad=True), torch.randn(2, 3)
    tokens = torch.randint(7, (2, 3, 1))
    logp = logits.log_softmax(-1).gather(-1, tokens).squeeze(-1)
    loss, clipped = policy.policy_loss(logp, logp.detach(), advantage, MASK, 0.2)
    (ours,) = torch.autograd.grad(loss, logits, retain_graph=True)
    (theirs,) = torch.autograd.grad(-(logp * advantage * MASK).sum(), logits)
    assert torch.allclose(ours, theirs, atol=1e-7) and not clipped


def test_the_estimate_of_the_divergence_is_unbiased_and_never_negative() -> None:
    p, q = torch.tensor([0.5, 0.3, 0.2]), torch.tensor([0.2, 0.2, 0.6])
    each = policy.divergence(p.log(), q.log())
    assert bool((each >= 0).all()) and (p * each).sum().item() == pytest.approx((p * (p / q).log()).sum().item())
    assert not policy.divergence(p.log(), p.log()).any()


@pytest.mark.parametrize(
    ("kl", "target", "factor"),
    [(0.06, 0.06, 1.0), (0.066, 0.06, 1.01), (9.0, 0.06, 1.02), (0.0, 0.06, 0.98), (9.0, None, 1)],
)
def test_the_penalty_grows_where_the_divergence_is_above_its_target(kl: float, target: float, factor: float) -> None:
    assert policy.adapted(0.5, kl, target) == pytest.approx(0.5 * factor)


def test_moments_of_parts_are_those_of_the_whole() -> None:
    scores = torch.randn(50, generator=torch.Generator().manual_seed(1)) * 3 + 100
    moments = Moments()
    for part in scores.split([1, 9, 40]):
        moments = moments.with_more(part)
    expected = (scores.double() - scores.double().mean()) / scores.double().std(correction=0)
    assert torch.allclose(moments.normalised(scores.double()), expected, atol=1e-6)
    assert Moments().with_more(torch.full((4,), 2.0)).normalised(torch.tensor([2.0, 3.0])).tolist() == [0.0, 1.0]
