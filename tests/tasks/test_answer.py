"""What an answer is: written and read back unchanged, refused when it is not one, compared as data are cleaned."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.formats import answer

JSON = answer.format_of(["category", "reply"])
REPLY = answer.format_of("{{ reply }}")
CLASSES = {"category": frozenset({"billing", "shipping"})}
WORDS = st.text(st.characters(blacklist_categories=("Cs",)))


@given(WORDS, WORDS)
def test_json_reads_back_what_it_wrote(category: str, reply: str) -> None:
    row = {"category": category, "reply": reply}
    assert JSON.read(JSON.write({**row, "other": "x"})) == row


@given(WORDS)
def test_a_text_reads_back_as_the_column_it_was_made_of(reply: str) -> None:
    assert REPLY.columns == ("reply",)
    assert REPLY.read(REPLY.write({"reply": reply})) == ({"reply": reply.strip()} if reply.strip() else None)


def test_a_text_of_several_columns_is_read_backwards() -> None:
    form = answer.format_of("{{ category }}: {{ row['the reply'] }}")
    assert form.columns == ("category", "the reply")
    assert form.read("billing: On its way.") == {"category": "billing", "the reply": "On its way."}
    assert form.read("billing") is None and form.read("a: b: c") is None  # two ways to read it are none


def test_a_template_that_computes_reads_as_text() -> None:
    form = answer.format_of("{{ reply | upper }}")
    assert form.columns == ("text",) and form.write({"reply": "yes"}) == "YES"
    assert form.read(" YES\n") == {"text": "YES"} and form.write({"text": "YES"}) == "YES"


@pytest.mark.parametrize(
    "text",
    [
        "billing",
        "[1]",
        '{"category": "billing"}',
        '{"category": "billing", "reply": 1}',
        '{"category": "technical", "category": "billing", "reply": "x"}',
        '{"category": "billing", "reply": "On its way \\ud83d"}',
        '{"category": "billing", "reply": "x"} and more',
        "[" * 100_000,
    ],
)
def test_what_is_not_one_whole_object_is_not_an_answer(text: str) -> None:
    assert JSON.read(text) is None


@pytest.mark.parametrize("text", ["", " \n", "half \ud83d"])
def test_a_blank_or_broken_text_is_not_an_answer(text: str) -> None:
    assert REPLY.read(text) is None


def test_an_unknown_class_is_not_valid() -> None:
    assert answer.read_valid(JSON, '{"category": "billing", "reply": "x"}', CLASSES) == {
        "category": "billing",
        "reply": "x",
    }
    assert answer.read_valid(JSON, '{"category": "refund", "reply": "x"}', CLASSES) is None
    label = answer.format_of("{{ category }}")
    assert (
        answer.read_valid(label, "billing\n", CLASSES) == {"category": "billing"}
        and answer.read_valid(label, "refund", CLASSES) is None
    )


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("billing", "it must be an object of texts: category, reply"),
        ({"category": 1, "reply": "x"}, "it must be an object of texts: category, reply"),
        ({"category": "billing"}, "it lacks `reply` (it needs category, reply)"),
        ({"category": "billing", "reply": "x", "mood": "y"}, "`mood` is not a column of the answer (category, reply)"),
        ({"category": "refund", "reply": "x"}, "`category` is not one of its known values (billing, shipping)"),
        ({"category": "billing", "reply": "\ud83d"}, "`reply` contains a lone surrogate (half a character)"),
        ({"category": "billing ", "reply": ""}, None),
    ],
)
def test_a_problem_is_said_in_one_clause(given: object, words: str | None) -> None:
    assert answer.problem(JSON, given, CLASSES) == words


def test_answers_agree_in_the_labels_or_in_everything() -> None:
    right = {"category": "billing", "reply": "Soon."}
    assert answer.agrees({"category": "billing ", "reply": "Later."}, right, ["category"])
    assert not answer.agrees({"category": "billing", "reply": "Later."}, right, [])
    assert not answer.agrees(None, right, ["category"]) and not answer.agrees({"reply": "Soon."}, right, ["category"])
    assert answer.agrees({"reply": "\u0065\u0301"}, {"reply": "\u00e9"}, ["category"])  # composed and decomposed
