"""The rows that a report shows side by side: which they are, and whether their answers are right, JSON or text."""

import pytest

from tasks.errors import AnnealError
from tasks.formats.answer import format_of
from tasks.steps.report.samples import choose, right_means, shown_answer, tally
from tests.tasks.reported import FORM, answer


def test_samples_are_half_wrong_where_they_can_be_and_do_not_depend_on_the_order():
    parent = [answer(place, "no") for place in range(40)]
    tuned = [answer(place, intent="other") if place % 4 == 0 else answer(place) for place in range(40)]
    found = choose(tuned, parent, FORM, ["intent"])
    assert [sample.tuned.right for sample in found] == [False] * 4 + [True] * 4
    assert found == choose(tuned[::-1], parent[::-1], FORM, ["intent"])
    assert len(choose(tuned[1:4], parent, FORM, ["intent"])) == 3
    assert tally(tuned, parent, FORM, ["intent"]) == {"rows": 40, "tuned": 30, "parent": 0, "gained": 30, "lost": 0}


def test_samples_of_other_rows_than_the_parents_are_refused():
    with pytest.raises(AnnealError, match="row-1"):
        choose([answer(1)], [answer(2)], FORM, ["intent"])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not JSON",
        "[]",
        '{"intent": "double_charge"}',
        '{"category": "billing", "intent": "double_charge", "reply": 3}',
        "[" * 100_000,
    ],
)
def test_an_answer_of_the_wrong_shape_is_wrong_and_says_why(text):
    said = shown_answer(answer(0, text), FORM, ["category", "intent"])
    assert not said.right and said.notes and said.text == text


@pytest.mark.parametrize(
    ("spec", "labels", "text", "expected", "right", "fields"),
    [
        ("{{ category }}", ["category"], "billing", "billing", True, ()),
        ("{{ category }}", ["category"], "refund", "billing", False, ()),
        ("{{ reply }}", [], " On its way.\n", "On its way.", True, ()),
        ("{{ reply }}", [], "", "On its way.", False, ()),
        (
            "{{ category }}: {{ reply }}",
            ["category"],
            "billing: y",
            "billing: x",
            True,
            (("category", "billing", "right"), ("reply", "y", "free")),
        ),
        (
            "{{ category }}: {{ reply }}",
            ["category"],
            "refund: x",
            "billing: x",
            False,
            (("category", "refund", "wrong"), ("reply", "x", "free")),
        ),
        ("{{ category }}: {{ reply }}", ["category"], "billing", "billing: x", False, ()),
    ],
)
def test_a_text_answer_is_right_when_its_labels_are_or_it_is_the_expected_one(
    spec, labels, text, expected, right, fields
):
    said = shown_answer({"text": text, "answer": expected, "finished": True}, format_of(spec), labels)
    assert (said.right, said.fields) == (right, fields)


@pytest.mark.parametrize(
    ("spec", "labels", "words"),
    [
        (["category", "reply"], ["category"], "every label (category) is right"),
        ({"stars": "number"}, [], "rounded as the expected number is"),
        ({"entities": ["label", "text", "start", "end"]}, [], "all entities are marked"),
        ("{{ reply }}", [], "character for character"),
    ],
)
def test_what_right_means_is_said_of_each_kind_of_answer(spec, labels, words):
    assert words in right_means(format_of(spec), labels)
