"""What is clean stays as it is, and the same templates put every row into words; a template that does not fit is one
sentence.
"""

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tasks.errors import AnnealError
from tasks.stages.prepare.shapes.table import Params as Prepare
from tasks.stages.prepare.shapes.table import format_row
from tasks.texts.clean import clean
from tasks.texts.template import render
from tests.examples import examples

any_text = st.text(st.characters(), max_size=40)  # lone surrogates too


@examples(300)
@given(any_text)
@example("e\x00\u0301")
@example("a \r\n\x85\r\x00\n b\t")
@example("\ud83d\x01\ude00")
def test_what_is_clean_stays_as_it_is(text):
    once = clean(text)
    assert clean(once) == once
    assert unicodedata.is_normalized("NFC", once)
    assert not any(unicodedata.category(character) in ("Cc", "Cs") for character in once.replace("\n", ""))
    assert once == once.strip() and all(line == line.rstrip() for line in once.split("\n"))


def test_cleaning_keeps_words_and_line_breaks():
    assert clean(" Cafe\u0301 \r\n\r\n\x07two\tthree  \rfour\n") == "Café\n\ntwo three\nfour"


def test_an_answer_of_columns_is_one_json_object_in_the_order_of_the_params():
    params = Prepare(system="s", user="{{ body }}", answer=["reply", "category"])
    assert (
        format_row({"id": "1", "body": "b", "category": "é", "reply": 'say "x"'}, params)["answer"]
        == '{"reply": "say \\"x\\"", "category": "é"}'
    )


def test_an_answer_may_be_a_template():
    params = Prepare(system="s", user="{{ body }}", answer="{{ category | upper }}\n")
    assert format_row({"id": "1", "body": "b", "category": "refund"}, params)["answer"] == "REFUND\n"


def test_a_column_that_the_rows_do_not_have_is_named():
    with pytest.raises(
        AnnealError, match=r"params.yaml: the template '\{\{ bdy \}\}' does not fit row 1: 'bdy' is undefined."
    ):
        format_row({"id": "1", "body": "b"}, Prepare(system="s", user="{{ bdy }}", answer="a"))
    with pytest.raises(
        AnnealError, match=r"params.yaml: prepare.answer names `intent`, which the rows do not have \(id, body\)."
    ):
        format_row({"id": "1", "body": "b"}, Prepare(system="s", user="{{ body }}", answer=["intent"]))


@pytest.mark.parametrize(
    "template",
    [
        "{{ body",
        "{% for %}",
        "{{ body | nosuch }}",
        "{{ body + 1 }}",
        "{{ 1 / 0 }}",
        "{{ body.__class__.__mro__ }}",
        "{{ body | int(base=99) + 'x' }}",
    ],
)
def test_a_template_that_cannot_be_filled_is_one_sentence(template):
    with pytest.raises(AnnealError, match="does not fit row 7"):
        render(template, {"id": "7", "body": "b"})


def test_a_row_cannot_bring_a_template_of_its_own():
    assert render("{{ body }}", {"id": "1", "body": "{{ 1 + 1 }}"}) == "{{ 1 + 1 }}"


@pytest.mark.parametrize(
    ("answer", "row"),
    [
        ("{{ category }} {{ reply }}", {"category": "billing", "reply": "on its way"}),
        ("{{ category }}: {{ reply }}", {"category": "a: b", "reply": "c"}),
    ],
)
def test_a_row_whose_own_answer_cannot_be_read_back_is_named(answer, row):
    with pytest.raises(
        AnnealError,
        match=r"^row T-7: its answer '.*' reads as its columns in more than one way, so no answer could be judged "
        r"right; fix the row",
    ):
        format_row({"id": "T-7", "body": "b", **row}, Prepare(system="s", user="{{ body }}", answer=answer))
