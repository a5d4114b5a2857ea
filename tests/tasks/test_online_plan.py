"""Which prompts are answered when: all of them, in an order that seed and number alone decide."""

from collections import Counter

import pytest

from tasks.stages.train.online.plan import Plan

pytestmark = pytest.mark.slow  # torch is loaded

PLAN = Plan(rows=10, epochs=2, size=8, mini_batches=2, passes=3, seed=7)


def test_every_row_is_asked_as_often_as_there_are_epochs() -> None:
    assert PLAN.rollouts == 3 and PLAN.steps_each == 6 and PLAN.steps == 18
    asked = [row for rollout in range(3) for row in PLAN.prompts(rollout)]
    assert sorted(asked[:10]) == sorted(asked[10:20]) == list(range(10)) and asked[:10] != asked[10:20]
    assert len(asked) == 24  # the last set of answers is as large as the others


def test_a_set_of_answers_is_learnt_whole_in_each_pass_each_time_in_another_order() -> None:
    passes = [PLAN.mini_batch(step) + PLAN.mini_batch(step + 1) for step in range(0, 6, 2)]
    assert all(sorted(order) == list(range(8)) for order in passes)
    assert len({tuple(order) for order in passes}) == 3 and PLAN.mini_batch(6) != PLAN.mini_batch(0)


def test_another_seed_is_another_order_and_the_same_one_the_same() -> None:
    other = Plan(**{**vars(PLAN), "seed": 8})
    assert other.prompts(0) != PLAN.prompts(0) == Plan(**vars(PLAN)).prompts(0)


@pytest.mark.parametrize(("share", "steps"), [(1.0, 18), (0.5, 12), (0.1, 6), (1 / 3, 6)])
def test_checkpoints_come_before_answers_are_written(share: float, steps: int) -> None:
    assert PLAN.between(share) == steps


def test_fewer_rows_than_answers_are_asked_several_times_at_once() -> None:
    plan = Plan(rows=3, epochs=1, size=8, mini_batches=1, passes=1, seed=0)
    assert plan.rollouts == 1 and sorted(Counter(plan.prompts(0)).values()) == [2, 3, 3]
