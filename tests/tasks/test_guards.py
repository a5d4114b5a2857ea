"""The decisions of guards, without a training: each planted trouble is found, and a run in order is let be."""

import math
import random

import pytest

from tasks.errors import AnnealError
from tasks.stages.train.guards import forgetting, gradient, memorising, overfitting, watch
from tasks.stages.train.params import Guards

GUARDS = Guards()
NAN, INFINITE = float("nan"), float("inf")


def losses(steps: int, seed: int, start: float = 3.0, end: float = 0.5, noise: float = 0.25) -> list[float]:
    """The losses of a run in order: they fall, with noise in proportion, and batches of rows that are hard."""
    draws = random.Random(seed)
    level = [end + (start - end) * math.exp(-5 * step / steps) for step in range(steps)]
    return [value * math.exp(draws.gauss(0, noise)) * (2 if draws.random() < 0.05 else 1) for value in level]


def actions(told: list[float], norms: dict[int, float] | None = None, guards: Guards = GUARDS) -> dict[int, str]:
    """{step: what was done}, where it is not simply made."""
    state, done = watch.Watch(), {}
    for step, loss in enumerate(told):
        verdict = state.judge(guards, loss, (norms or {}).get(step, 1.0))
        if verdict.action == "back":
            state.go_back(guards, verdict.words, step, 0.1)
        if verdict.action != "make":
            done[step] = f"{verdict.action} {verdict.guard}"
        state = watch.of_json(state.as_json())  # as after a kill
    return done


@pytest.mark.parametrize("end", [1.5, 0.5, 0.005])
@pytest.mark.parametrize("noise", [0.1, 0.3])
def test_a_run_in_order_is_let_be(end: float, noise: float) -> None:
    assert not [seed for seed in range(12) if actions(losses(300, seed, end=end, noise=noise))]


@pytest.mark.parametrize("loss", [NAN, INFINITE, -INFINITE])
def test_a_loss_that_is_no_finite_number_is_skipped(loss: float) -> None:
    assert actions([*losses(30, 1), loss, *losses(5, 2, start=0.5)]) == {30: "skip finite"}


def test_a_gradient_that_is_no_finite_number_is_skipped() -> None:
    assert actions(losses(30, 1), {12: NAN, 20: INFINITE}) == {12: "skip finite", 20: "skip finite"}


def test_a_spike_is_skipped_and_three_in_a_row_are_the_fault_of_the_weights() -> None:
    assert actions([*losses(60, 3), 9.0, *[0.5] * 20]) == {60: "skip spike"}
    assert actions([*losses(60, 3), 9.0, 9.0, 9.0, *[0.5] * 20]) == {
        60: "skip spike",
        61: "skip spike",
        62: "back spike",
    }
    assert not actions([*losses(60, 3), 9.0, 9.0, 9.0], guards=GUARDS.model_copy(update={"spike": None}))


def test_losses_that_stay_above_the_first_ones_mean_a_rate_that_is_too_high() -> None:
    diverged = [2.0, 2.1, 1.9, 2.0, *[2.5 + 0.3 * step for step in range(8)], *[5.0] * 12]
    done = actions(diverged)
    assert list(done.values()) == ["back rate"] and 15 <= next(iter(done)) <= 22
    assert not actions(diverged, guards=GUARDS.model_copy(update={"diverged": None}))
    assert not actions([2.0, 2.1, 1.9, 2.0, *[2.8] * 40])  # worse, but within the limit


def test_it_goes_back_so_often_and_no_more() -> None:
    bad = [*[1.0] * 5, NAN, NAN, NAN]
    with pytest.raises(AnnealError, match=r"loss is nan at step 31: .*back to better weights 3 times"):
        actions(bad * 5)
    with pytest.raises(AnnealError, match="no step had a finite loss, so the parent's weights or the rows"):
        actions([NAN] * 9)
    with pytest.raises(AnnealError, match="back to better weights 1 times"):  # it did not help at all
        actions([*[1.0] * 5, *[NAN] * 9])


def test_weights_without_gradient_are_told_from_those_with_one() -> None:
    assert gradient.problem({"a", "b"}, {"a", "b", "c"}) is None
    assert gradient.problem({"a", "b"}, set()) == (
        "no gradient reached any of the 2 tuned weights in the first 3 steps",
        True,
    )
    assert gradient.problem({"a", "b"}, {"a"}) == ("no gradient reached 1 of 2 tuned weights, such as b", False)


def curve(held_out: list[float], training: list[float]) -> dict[int, dict[str, float]]:
    return {5 * (i + 1): {"eval_loss": a, "loss": b} for i, (a, b) in enumerate(zip(held_out, training, strict=True))}


def test_over_fitting_is_a_rising_validation_loss_under_a_falling_training_loss() -> None:
    words = overfitting.problem(GUARDS, curve([2.0, 1.0, 1.2, 1.6], [2.0, 1.0, 0.5, 0.1]), False)
    assert words and "from 1 at step 10 to 1.6 at step 20" in words and "the last weights are kept" in words
    assert "weights of step 5 are kept" in (overfitting.problem(GUARDS, curve([1.0, 1.5], [1.0, 0.5]), True) or "")
    assert not overfitting.problem(GUARDS, curve([2.0, 1.0, 1.05], [2.0, 1.0, 0.5]), False)  # within the limit
    assert not overfitting.problem(GUARDS, curve([2.0, 1.0, 1.6], [2.0, 1.0, 1.7]), False)  # it diverges
    assert not overfitting.problem(GUARDS, curve([1.0], [1.0]), False)


def test_memorising_is_told_from_learning_and_from_chance() -> None:
    assert "90% of 30 training answers" in (memorising.problem(GUARDS, [True] * 27 + [False] * 3, [False] * 10) or "")
    assert not memorising.problem(GUARDS, [True] * 30, [True] * 9 + [False])  # it has learnt the task
    assert not memorising.problem(GUARDS, [True] * 2, [False] * 2)  # too few to say


def test_forgetting_is_a_perplexity_that_rose_beyond_its_limit() -> None:
    assert "rose from 20.0 to 31.0" in (forgetting.problem(GUARDS, 20, 31) or "")
    assert not forgetting.problem(GUARDS, 20, 29) and not forgetting.problem(GUARDS, 20, 10)


def test_the_general_text_is_made_of_passages_of_a_like_length() -> None:
    passages = forgetting.TEXT.read_text(encoding="utf-8").strip().split("\n\n")
    assert len(passages) == 10 and all(60 < len(passage.split()) < 110 for passage in passages)
