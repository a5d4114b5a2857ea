"""The value of each measure agrees with what is computed by hand, and lies in its interval."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.stages.evaluate.classes import NO_CLASS, per_class_f1
from tasks.stages.evaluate.measures.macro_f1 import of_classes
from tasks.stages.evaluate.params import Evaluate
from tests.examples import examples
from tests.tasks.scored import PARAMS, prediction, right, text_row, values


def f1(actual: list[str], predicted: list[str]) -> float:
    """Macro-F1 as the measure computes it."""
    return values(
        [text_row(said, label, label=label) for label, said in zip(actual, predicted, strict=True)],
        Evaluate(labels=["label"]),
        "{{ label }}",
        {},
    )[0]["label_macro_f1"]


def test_macro_f1_is_the_one_computed_by_hand():
    actual = ["a", "a", "a", "b", "b", "c"]
    predicted = ["a", "a", "b", "b", NO_CLASS, "a"]
    # a: TP 2, FP 1, FN 1; b: TP 1, FP 1, FN 1; c: TP 0, FP 0, FN 1
    assert per_class_f1(actual, predicted) == {"a": pytest.approx(4 / 6), "b": pytest.approx(2 / 4), "c": 0.0}
    assert f1(actual, predicted) == pytest.approx((4 / 6 + 2 / 4 + 0) / 3)


@examples(60)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(-1, 2)), min_size=1, max_size=30))
def test_macro_f1_agrees_with_that_of_scikit_learn(codes):
    actual, predicted = (list(map(str, part)) for part in zip(*codes, strict=True))
    assert of_classes(np.array(codes, float)) == pytest.approx(np.mean(list(per_class_f1(actual, predicted).values())))


def test_perplexity_is_weighted_by_tokens():
    rows = [right() | {"nll": 2.0, "tokens": 4}, right() | {"nll": 10.0, "tokens": 1}]
    assert values(rows)[0]["perplexity"] == pytest.approx(math.exp(12 / 5))


def test_a_perplexity_beyond_all_numbers_stays_one_that_json_can_write():
    metrics, intervals = values([right() | {"nll": 1e9, "tokens": 1}] * 3)
    assert all(map(math.isfinite, [metrics["perplexity"], *intervals["perplexity"]]))


def test_a_share_of_100_percent_is_not_reported_as_certain():
    assert values([right()] * 30)[1]["intent_accuracy"][0] < 0.9


@pytest.fixture(scope="module")
def mixed() -> list[dict]:
    """60 rows of three intents; every third answer is wrong, every tenth invalid, replies half right."""
    found = []
    for number in range(60):
        intent = ("refund", "exchange", "delivery")[number % 3]
        said = "refund" if number % 4 == 0 else intent
        reply = "We will pay" if number % 2 else "We will pay you back soon."
        reply = "we will pay you back!" if number % 7 == 0 else reply
        text = json.dumps({"intent": said, "reply": reply})
        found.append(prediction("oops" if number % 10 == 0 else text, intent, nll=1.0 + number % 7, tokens=5))
    return found


def test_every_metric_has_an_interval_that_holds_it(mixed):
    metrics, intervals = values(mixed)
    for name, (low, high) in intervals.items():
        assert low < metrics[name] < high, name


def test_the_same_seed_gives_the_same_intervals_and_another_seed_others(mixed):
    assert values(mixed) == values(mixed)
    other = values(mixed, PARAMS.model_copy(update={"seed": 7}))
    assert other[0] == values(mixed)[0] and other[1] != values(mixed)[1]
