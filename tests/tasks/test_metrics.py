"""An answer that is not exactly what was asked for scores nothing; means, F1 and intervals agree with what is computed by hand."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.evaluate.metrics import classes, interval, macro_f1, measure, parse, per_class_f1, score_rows, share_interval
from tasks.evaluate.params import Evaluate

modest = settings(max_examples=60, deadline=None, derandomize=True, database=None)
PARAMS = Evaluate(labels=["intent"], texts=["reply"], bootstrap_resamples=100)
LABELS = Evaluate(labels=["intent"], bootstrap_resamples=200)


def prediction(text: str, intent: str = "refund", reply: str = "We will pay you back.", nll: float = 2.0, tokens: int = 4) -> dict:
    return {"text": text, "expected": json.dumps({"intent": intent, "reply": reply}), "row": {"intent": intent, "reply": reply}, "nll": nll, "tokens": tokens}


def right(intent: str = "refund", reply: str = "We will pay you back.") -> dict:
    return prediction(json.dumps({"intent": intent, "reply": reply}), intent, reply)


INVALID = [
    "",
    "no JSON",
    "null",
    "3",
    '["refund"]',
    '{"intent": "refund"}',
    '{"reply": "x"}',
    '{"intent": "refund", "reply": null}',
    '{"intent": 3, "reply": "x"}',
    '{"intent": ["refund"], "reply": "x"}',
    '{"intent": "refund", "reply": "x"} and more',
    'Sure: {"intent": "refund", "reply": "x"}',
    '```json\n{"intent": "refund", "reply": "x"}\n```',
    '{"intent": "refund", "reply": "x"',
    '{"intent": "refund", "reply": "x"}{"intent": "refund", "reply": "x"}',
    "{'intent': 'refund', 'reply': 'x'}",
    "[" * 5000,
    '{"intent": ' * 5000,
]


@pytest.mark.parametrize("text", INVALID)
def test_an_answer_that_is_not_exactly_one_object_of_texts_is_none(text):
    assert parse(text, ["intent", "reply"]) is None


@pytest.mark.parametrize("text", ['{"intent": "refund", "reply": ""}', ' {"reply": "x", "intent": "refund"}\n', '{"intent": "refund", "reply": "x", "more": 1}'])
def test_an_object_with_the_keys_is_valid_whatever_their_order_and_whatever_else_it_holds(text):
    assert parse(text, ["intent", "reply"])["intent"] == "refund"


def test_an_invalid_answer_scores_zero_everywhere():
    scores = score_rows([prediction(text) for text in INVALID], PARAMS)
    assert set(scores) == {"valid_json", "intent_accuracy", "reply_rouge_l"}
    assert all(values.shape == (len(INVALID),) and not values.any() for values in scores.values())


def test_a_right_answer_scores_one_everywhere():
    assert {name: values.tolist() for name, values in score_rows([right()], PARAMS).items()} == {"valid_json": [1.0], "intent_accuracy": [1.0], "reply_rouge_l": [1.0]}


def test_a_wrong_label_costs_the_label_only():
    scores = score_rows([prediction(json.dumps({"intent": "Refund", "reply": "We will pay you back."}))], PARAMS)
    assert (scores["valid_json"][0], scores["intent_accuracy"][0], scores["reply_rouge_l"][0]) == (1.0, 0.0, 1.0)


def test_rouge_l_is_the_f_measure_of_the_longest_common_subsequence():
    found = score_rows([prediction(json.dumps({"intent": "refund", "reply": "the cat on a mat"}), reply="the cat sat on the mat")], PARAMS)["reply_rouge_l"][0]
    precision, recall = 4 / 5, 4 / 6  # the cat on mat
    assert found == pytest.approx(2 * precision * recall / (precision + recall))


def test_without_keys_the_whole_text_is_compared():
    params = Evaluate(bootstrap_resamples=100)
    found = score_rows([{"text": " Paris\n", "expected": "Paris"}, {"text": "paris", "expected": "Paris"}], params)
    assert {name: values.tolist() for name, values in found.items()} == {"exact_match": [1.0, 0.0]}


def test_an_answer_that_names_no_known_class_is_none_of_them():
    predictions = [right(), prediction("nonsense", "exchange"), prediction('{"intent": "bingo", "reply": ""}')]
    assert classes(predictions, "intent", PARAMS) == (["refund", "exchange", "refund"], ["refund", "(none)", "(none)"])


def test_macro_f1_is_the_one_computed_by_hand():
    actual = ["a", "a", "a", "b", "b", "c"]
    predicted = ["a", "a", "b", "b", "(none)", "a"]
    # a: TP 2, FP 1, FN 1; b: TP 1, FP 1, FN 1; c: TP 0, FP 0, FN 1
    assert per_class_f1(actual, predicted) == {"a": pytest.approx(4 / 6), "b": pytest.approx(2 / 4), "c": 0.0}
    assert macro_f1(actual, predicted) == pytest.approx((4 / 6 + 2 / 4 + 0) / 3)


@modest
@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["a", "b", "c", "(none)"])), min_size=1, max_size=30))
def test_f1_of_each_class_agrees_with_its_formula(pairs):
    actual, predicted = map(list, zip(*pairs, strict=True))
    for name, found in per_class_f1(actual, predicted).items():
        hit = sum(a == p == name for a, p in pairs)
        wrong = sum((a == name) != (p == name) for a, p in pairs)
        assert found == pytest.approx(2 * hit / (2 * hit + wrong))


def test_perplexity_is_weighted_by_tokens():
    predictions = [right() | {"nll": 2.0, "tokens": 4}, right() | {"nll": 10.0, "tokens": 1}]
    metrics, _ = measure(predictions, LABELS)
    assert metrics["perplexity"] == pytest.approx(math.exp(12 / 5))


def test_a_perplexity_beyond_all_numbers_stays_one_that_json_can_write():
    metrics, intervals = measure([right() | {"nll": 1e9, "tokens": 1}] * 3, LABELS)
    assert all(map(math.isfinite, [metrics["perplexity"], *intervals["perplexity"]]))


def test_wilson_has_a_width_when_all_rows_agree():
    low, high = share_interval(np.ones(50), 0.95)
    assert high == pytest.approx(1.0)
    assert low == pytest.approx(50 / (50 + 1.959964**2), rel=1e-5)  # n / (n + z²)
    low, high = share_interval(np.zeros(50), 0.95)
    assert low == pytest.approx(0.0) and high == pytest.approx(1.959964**2 / (50 + 1.959964**2), rel=1e-5)


def test_a_share_of_100_percent_is_not_reported_as_certain():
    _, intervals = measure([right()] * 30, LABELS)
    assert intervals["intent_accuracy"][0] < 0.9


@modest
@given(st.lists(st.booleans(), min_size=1, max_size=60), st.sampled_from([0.6, 0.9, 0.95, 0.99]))
def test_the_interval_of_a_share_holds_the_share_and_stays_within_0_and_1(hits, confidence):
    found = np.array(hits, float)
    low, high = share_interval(found, confidence)
    assert 0 <= low <= found.mean() + 1e-12 and found.mean() - 1e-12 <= high <= 1


def test_more_confidence_is_a_wider_interval_and_more_rows_a_narrower_one():
    def width(rows: int, confidence: float) -> float:
        low, high = share_interval(np.array([1.0, 0.0] * rows), confidence)
        return high - low

    assert width(10, 0.9) < width(10, 0.95) and width(40, 0.95) < width(10, 0.95)


@pytest.fixture(scope="module")
def mixed() -> list[dict]:
    """60 rows of three intents; every third answer is wrong, every tenth invalid, replies half right."""
    found = []
    for number in range(60):
        intent = ("refund", "exchange", "delivery")[number % 3]
        said = "refund" if number % 4 == 0 else intent
        text = json.dumps({"intent": said, "reply": "We will pay" if number % 2 else "We will pay you back soon."})
        found.append(prediction("oops" if number % 10 == 0 else text, intent, nll=1.0 + number % 7, tokens=5))
    return found


def test_every_metric_has_an_interval_that_holds_it(mixed):
    metrics, intervals = measure(mixed, PARAMS)
    assert set(metrics) == set(intervals) == {"valid_json", "intent_accuracy", "reply_rouge_l", "intent_macro_f1", "perplexity"}
    for name, (low, high) in intervals.items():
        assert low < metrics[name] < high, name


def test_the_same_seed_gives_the_same_intervals_and_another_seed_others(mixed):
    assert measure(mixed, LABELS) == measure(mixed, LABELS)
    other = measure(mixed, LABELS.model_copy(update={"seed": 7}))
    assert other[0] == measure(mixed, LABELS)[0] and other[1] != measure(mixed, LABELS)[1]


def test_the_bootstrap_is_about_as_wide_as_theory_says():
    values = np.random.default_rng(0).normal(size=400)
    low, high = interval(lambda chosen: float(values[chosen].mean()), 400, Evaluate(bootstrap_resamples=2000))
    assert high - low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.1)
