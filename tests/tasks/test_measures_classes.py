"""Measures of classes and of their probabilities: by hand, as scikit-learn has them, and where they are not defined."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.errors import AnnealError
from tasks.formats.answer import format_of
from tasks.stages.evaluate import measures
from tasks.stages.evaluate.measures.ece import bin_of
from tasks.stages.evaluate.measures.parts import NO_CLASS, doubled_ranks
from tasks.stages.evaluate.params import Evaluate
from tests.examples import examples
from tests.tasks.scored import classified, judged

A, B, C = ({"a": a, "b": b, "c": c} for a, b, c in ((0.7, 0.2, 0.1), (0.25, 0.5, 0.25), (0.1, 0.1, 0.8)))
Given = Sequence[tuple[str, dict[str, float]]]  # the right class, and the probabilities


def value(name: str, rows: Given) -> float:
    """The value of the measure `name` of rows of one label."""
    return judged([classified(right, given) for right, given in rows])[f"label_{name}"]


def as_arrays(rows: Given) -> tuple[list[str], np.ndarray, list[str]]:
    """(right classes, probabilities of a, b and c, most likely classes)."""
    chances = np.array([[given[name] for name in "abc"] for _, given in rows])
    return [right for right, _ in rows], chances, ["abc"[place] for place in chances.argmax(axis=1)]


def test_log_loss_brier_and_calibration_are_those_computed_by_hand():
    rows = [("a", A), ("b", B), ("b", C)]
    assert value("log_loss", rows) == pytest.approx(-(math.log(0.7) + math.log(0.5) + math.log(0.1)) / 3)
    errors = (0.3**2 + 0.2**2 + 0.1**2, 0.25**2 + 0.5**2 + 0.25**2, 0.1**2 + 0.9**2 + 0.8**2)
    assert value("brier", rows) == pytest.approx(sum(errors) / 3)
    # each of 0.7, 0.5 and 0.8 is alone in its bin: |1 - 0.7|, |1 - 0.5|, |0 - 0.8|
    assert value("ece", rows) == pytest.approx((0.3 + 0.5 + 0.8) / 3)
    assert value("ece", [("a", A), ("b", A), ("a", A)]) == pytest.approx(abs(2 / 3 - 0.7))  # all in one


@pytest.mark.parametrize(
    ("p", "place"), [(0, 0), (1 / 15, 0), (0.0667, 1), (0.2, 2), (0.5, 7), (1, 14), (1.0000001, 14)]
)
def test_a_bin_of_calibration_holds_its_upper_edge(p, place):
    assert bin_of(p) == place


def test_auroc_is_the_share_of_pairs_in_the_right_order():
    # a: 0.6 and 0.2 against 0.6 and 0.1: 1 + ½, 1 + 0 of 4; b is the same pairs the other way round
    rows = [(right, {"a": p, "b": 1 - p}) for right, p in (("a", 0.6), ("a", 0.2), ("b", 0.6), ("b", 0.1))]
    assert value("auroc", rows) == pytest.approx(2.5 / 4)


def test_mcc_and_micro_f1_are_those_computed_by_hand():
    rows = [("a", A), ("a", A), ("a", C), ("b", B), ("b", A), ("c", C)]
    # c = 4, s = 6; t = 3, 2, 1; p = 3, 1, 2: (24 - 13) / √((36 - 14)(36 - 14))
    assert value("mcc", rows) == pytest.approx(11 / 22)
    assert value("micro_f1", rows) == value("accuracy", rows) == pytest.approx(4 / 6)


def test_of_an_answer_that_names_no_class_micro_f1_counts_a_miss_and_no_false_alarm():
    answers = [
        classified("a", A),
        {**classified("a", A), "text": "Sure!"},
        {**classified("b", B), "text": '{"label": "z"}'},
    ]
    assert judged(answers)["label_micro_f1"] == pytest.approx(2 * 1 / (3 + 2))


chance = st.tuples(*[st.integers(1, 9)] * 3).map(
    lambda parts: dict(zip("abc", np.array(parts) / sum(parts), strict=True))
)
right_and_chances = st.lists(st.tuples(st.sampled_from("abc"), chance), max_size=30).map(
    lambda rows: [("a", A), ("b", B), ("c", C), *rows]
)


@examples(60)
@given(right_and_chances)
def test_they_agree_with_scikit_learn(rows):
    from sklearn import metrics

    right, chances, told = as_arrays(rows)
    expected = {
        "accuracy": metrics.accuracy_score(right, told),
        "micro_f1": metrics.f1_score(right, told, average="micro"),
        "macro_f1": metrics.f1_score(right, told, average="macro"),
        "mcc": metrics.matthews_corrcoef(right, told),
        "log_loss": metrics.log_loss(right, chances, labels=list("abc")),
        "brier": metrics.brier_score_loss(right, chances, labels=list("abc"), scale_by_half=False),
        "auroc": metrics.roc_auc_score(right, chances, multi_class="ovr", labels=list("abc")),
    }
    values = judged([classified(label, given) for label, given in rows])
    assert {name: values[f"label_{name}"] for name in expected} == pytest.approx(expected, abs=1e-9)
    assert values["label_ece"] == pytest.approx(ece_by_bins(right, chances, told))


def ece_by_bins(right: Sequence[str], chances: np.ndarray, told: Sequence[str]) -> float:
    """As Guo et al. write it: Σ |B| / n · |accuracy(B) - confidence(B)|."""
    top, hits = chances.max(axis=1), np.array(right) == np.array(told)
    total = 0.0
    for place in range(15):
        members = (top > place / 15) & (top <= (place + 1) / 15)
        if members.any():
            total += members.mean() * abs(hits[members].mean() - top[members].mean())
    return total


@examples(40)
@given(right_and_chances, st.randoms(use_true_random=False))
def test_values_lie_within_their_bounds_and_do_not_depend_on_the_order_of_rows(rows, dice):
    table = measures.of(Evaluate(labels=["label"]), format_of(["label"]), "labelled")
    values = judged([classified(label, given) for label, given in rows])
    dice.shuffle(rows)
    assert judged([classified(label, given) for label, given in rows]) == pytest.approx(values)
    for name, measure in table.items():
        assert measure.bounds[0] <= values[name] <= measure.bounds[1], name


def test_the_better_answers_have_the_better_value_of_each_measure():
    table = measures.of(Evaluate(labels=["label"]), format_of(["label"]), "labelled")
    sure = [(name, {**dict.fromkeys("abc", 0.02), name: 0.96}) for name in "abcabc"]
    astray = [
        (name, {**dict.fromkeys("abc", 0.1), "abc"[("abc".index(name) + place) % 3]: 0.8})
        for place, name in enumerate("abcabc")
    ]
    better, worse = (judged([classified(*row) for row in rows]) for rows in (sure, astray))
    for name in better.keys() - {"valid"}:
        assert (better[name] > worse[name]) is table[name].higher_is_better, name


@pytest.mark.parametrize(
    ("rows", "values"),
    [
        ([("a", A)] * 4, {"mcc": 0, "auroc": 0.5, "macro_f1": 1}),  # one class in the rows
        ([("a", A), ("b", A)], {"mcc": 0, "auroc": 0.5}),  # one class in the answers
        ([("a", A)], {"mcc": 0, "auroc": 0.5, "log_loss": -math.log(0.7), "ece": 0.3}),  # one row
        ([("z", A), ("a", A)], {"log_loss": (-math.log(0.7) - math.log(2**-52)) / 2, "auroc": 0.5 * (0.5 + 0.5)}),
        ([("z", {"a": 1.0, "b": 0.0})], {"brier": 2, "ece": 1, "log_loss": 52 * math.log(2)}),  # sure of what is not so
    ],
)
def test_what_is_not_defined_counts_as_no_skill_and_never_as_no_number(rows, values):
    judged_rows = judged([classified(label, given) for label, given in rows])
    assert {name: judged_rows[f"label_{name}"] for name in values} == pytest.approx(values)
    assert all(map(math.isfinite, judged_rows.values()))


def test_classes_are_compared_as_data_are_cleaned():
    values = judged([{**classified("a", {"a ": 0.75, "a": 0.125, "b": 0.125}), "text": '{"label": "a\\n"}'}])
    assert values["label_log_loss"] == pytest.approx(-math.log(0.875)) and values["label_accuracy"] == 1


@pytest.mark.parametrize("given", [{"a": 0.7}, {"a": 1.2, "b": -0.2}, {"a": math.nan, "b": 0.5}, {"a": math.inf}, {}])
def test_what_are_no_probabilities_are_refused(given):
    with pytest.raises(AnnealError, match=r"row r1: the probabilities of `label` sum to .* or one is below 0: run"):
        judged([{**classified("a", A), "id": "r1", "probabilities": {"label": given}}])


def test_ranks_of_rows_drawn_again_are_ranks_of_their_values():
    from sklearn.metrics import roc_auc_score

    from tasks.stages.evaluate.measures.auroc import of_ranks

    chance = np.random.default_rng(3)
    actual, p = chance.integers(0, 2, 40), chance.integers(0, 9, 40) / 8
    rows = np.column_stack([actual, doubled_ranks(np.column_stack([1 - p, p]))])
    for _ in range(20):
        drawn = chance.integers(0, 40, 40)
        assert of_ranks(rows[drawn]) == pytest.approx(roc_auc_score(actual[drawn], p[drawn]))


def test_mcc_of_models_that_err_in_different_words_counts_one_class_more():
    from sklearn.metrics import matthews_corrcoef

    from tasks.stages.evaluate.measures.mcc import of_classes

    codes = np.array([(0, 0), (1, NO_CLASS), (1, 1), (0, NO_CLASS), (2, 1)], float)
    assert of_classes(codes) == pytest.approx(matthews_corrcoef(*codes.T))
