"""An answer that is not exactly what was asked for scores nothing, and the measures follow from the answer."""

import json

import pytest

from tasks.formats.answer import format_of
from tasks.stages.evaluate import measures
from tasks.stages.evaluate.classes import NO_CLASS, pairs, per_class_f1
from tasks.stages.evaluate.measures.measure import slug
from tasks.stages.evaluate.params import Evaluate
from tasks.stages.evaluate.predictions import known_classes, read
from tests.tasks.scored import JSON, prediction, right, scores, text_row, values

INVALID = [  # the last but one repeats a key, the last holds half of a character
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
    '{"intent": "refund", "intent": "refund", "reply": "x"}',
    '{"intent": "refund", "reply": "x \\ud83d"}',
]

OF_REPLY = ["reply_rouge_l", "reply_token_f1", "reply_exact_match", "reply_bleu", "reply_chrf"]
OF_INTENT = ["intent_macro_f1", "intent_micro_f1", "intent_mcc"]


def test_an_answer_that_is_not_exactly_one_object_of_texts_scores_zero():
    found = scores([prediction(text) for text in INVALID])
    assert list(found) == ["valid", "intent_accuracy", *OF_REPLY, *OF_INTENT, "perplexity"]
    assert not any(found["valid"] + found["intent_accuracy"] + found["reply_rouge_l"])
    metrics = values([prediction(text) for text in INVALID])[0]
    assert not any(metrics[name] for name in ("valid", "intent_accuracy", *OF_REPLY, *OF_INTENT))


@pytest.mark.parametrize(
    "text",
    [
        '{"intent": "refund", "reply": ""}',
        ' {"reply": "x", "intent": "refund"}\n',
        '{"intent": "refund", "reply": "x", "more": 1}',
    ],
)
def test_an_object_with_the_keys_is_valid_whatever_their_order_and_whatever_else_it_holds(text):
    found = scores([prediction(text)])
    assert found["valid"] == [1.0] and found["intent_accuracy"] == [1.0]


def test_a_right_answer_scores_one_everywhere():
    found = scores([right()])
    assert [found[name] for name in ("valid", "intent_accuracy", "reply_rouge_l")] == [[1.0]] * 3


def test_a_label_of_no_known_class_is_not_valid_and_costs_no_other_column():
    found = scores([prediction(json.dumps({"intent": "Refund", "reply": "We will pay you back."}))])
    assert (found["valid"], found["intent_accuracy"], found["reply_rouge_l"]) == ([0.0], [0.0], [1.0])


def test_a_label_is_compared_as_data_are_cleaned():
    assert scores([prediction(json.dumps({"intent": " refund\n", "reply": "x"}))])["intent_accuracy"] == [1.0]


TEXT = {
    "answer": "{{ category }}",
    "params": Evaluate(labels=["category"]),
    "classes": {"category": frozenset({"billing", "refund"})},
}


@pytest.mark.parametrize(
    ("text", "is_valid", "is_right"),
    [("billing", 1, 1), (" billing\n", 1, 1), ("refund", 1, 0), ("Billing.", 0, 0), ("", 0, 0)],
)
def test_a_text_answer_that_is_a_label_has_accuracy(text, is_valid, is_right):
    found = scores([text_row(text, "billing", category="billing")], **TEXT)
    of_category = ["category_macro_f1", "category_micro_f1", "category_mcc"]
    assert list(found) == ["valid", "category_accuracy", *of_category, "perplexity"]
    assert (found["valid"], found["category_accuracy"]) == ([is_valid], [is_right])


def test_the_label_in_a_text_answer_has_a_confusion_and_an_f1():
    rows = [
        text_row(text, f"category: {label}", category=label)
        for text, label in (("category: a", "a"), ("category: b", "a"), ("b", "b"))
    ]
    form = format_of("category: {{ category }}")
    prepared = [{"answer": row["answer"], "row": row["row"]} for row in rows]
    classes = known_classes(prepared, form, ["category"])
    assert classes == {"category": frozenset("ab")}
    actual, predicted = pairs(read(rows, form, classes), "category", classes)
    assert (actual, predicted) == (["a", "a", "b"], ["a", "b", NO_CLASS])
    assert per_class_f1(actual, predicted) == {"a": pytest.approx(2 / 3), "b": 0.0}


def test_free_text_is_compared_as_a_whole_and_by_its_columns():
    rows = [
        text_row(" Paris\n", "Paris", reply="Paris"),
        text_row("paris", "Paris", reply="Paris"),
        text_row("", "Paris", reply="Paris"),
    ]
    found = scores(rows, Evaluate(), "{{ reply }}", {})
    assert (found["valid"], found["exact_match"], found["reply_rouge_l"]) == ([1, 1, 0], [1, 0, 0], [1, 1, 0])


def test_an_answer_that_computes_something_is_one_text():
    found = scores(
        [text_row("PARIS", "PARIS", city="Paris") | {"row": {"text": "another column"}}],
        Evaluate(),
        "{{ city | upper }}",
        {},
    )
    assert (found["valid"], found["exact_match"], found["text_rouge_l"]) == ([1], [1], [1])


def test_a_json_answer_without_labels_matches_whatever_its_spaces_and_order():
    row = prediction('{"reply":"We will pay you back.","intent":"refund"}')
    assert scores([row], Evaluate(texts=[]), JSON, {})["exact_match"] == [1.0]


def test_which_measures_there_are_follows_from_labels_and_texts():
    assert measures.names(Evaluate(), "{{ reply }}") == ("valid", "exact_match", *OF_REPLY, "perplexity")
    assert measures.names(Evaluate(texts=[]), "{{ reply }}") == ("valid", "exact_match", "perplexity")
    of_a, of_b = (
        [name.replace(old, new) for name in names]
        for old, new, names in (("intent", "a", OF_INTENT), ("reply", "b", OF_REPLY))
    )
    assert measures.names(Evaluate(labels=["a"]), ["a", "b"]) == ("valid", "a_accuracy", *of_b, *of_a, "perplexity")
    numbers_and_tags = Evaluate(numbers=["a"], tags=["b"])
    assert measures.names(numbers_and_tags, ["a", "b"]) == (
        "valid",
        "exact_match",
        "a_rmse",
        "b_entity_f1",
        "a_mae",
        "a_spearman",
        "a_pearson",
        "perplexity",
    )
    assert measures.names(Evaluate(tags=["b"]), ["b"], example="tagged")[-2:] == ("b_entity_f1", "b_entity_ece")
    assert measures.compared_on(numbers_and_tags) == "a_rmse" and measures.compared_on(Evaluate(tags=["b"])) == (
        "b_entity_f1"
    )
    assert (
        measures.compared_on(Evaluate(labels=["b", "a"])) == "b_accuracy"
        and measures.compared_on(Evaluate()) == "perplexity"
    )


@pytest.mark.slow  # MLflow starts a process where it is loaded
@pytest.mark.parametrize(
    ("column", "name"),
    [
        ("Category (L1)", "Category_L1"),
        ("Ticket Text", "Ticket_Text"),
        ("what's it?", "what_s_it"),
        ("категория", "категория"),
        ("a/b", "a_b"),
        ("?", ""),
    ],
)
def test_the_name_of_a_measure_is_one_that_mlflow_takes(column, name):
    from mlflow.utils.validation import _validate_metric_name

    assert slug(column) == name
    for measure in measures.names(Evaluate(labels=[column]), [column]):
        _validate_metric_name(measure)
