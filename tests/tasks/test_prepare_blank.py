"""Rows that show nothing where a text is needed are set aside, counted against the same share as those that validate
set aside.
"""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.errors import AnnealError
from tasks.files import read_jsonl, write_json, write_jsonl
from tasks.stages.prepare import blank
from tasks.stages.prepare.__main__ import prepare
from tasks.stages.prepare.shapes.table import Params as Prepare
from tasks.stages.prepare.shapes.table import templates
from tasks.texts.clean import clean, folded, is_blank
from tests.examples import examples
from tests.sentences import Says

PARAMS = Prepare(
    user="Subject: {{ subject }}\n\n{{ body }}", answer=["category", "reply"], validation_share=0.2, test_share=0.3
)
FORM = templates(PARAMS)
ROW = {"id": "r", "subject": "Late", "body": "It is late.", "category": "x", "reply": "It is on its way.", "note": " "}
NOTHING = [
    " " * 8,
    "\x00" * 8,
    "\u200b" * 3,
    "\ufeff",
    "\u200d\u200c",
    "\u2060\u00ad",
    "\u3000\u00a0\t\n",
    "\u0301\u0308",
    "\u202a\u202c",
    "\u3164",
    "\u115f\u1160",
    "\u2800",
    "\ufe0f",
    "\x1b\x07",
]


@pytest.mark.parametrize("text", NOTHING)
@pytest.mark.parametrize("column", ["subject", "body", "category", "reply"])
def test_a_column_that_shows_nothing_is_a_problem(text, column):
    assert blank.problem({**ROW, column: text}, FORM) == Says(f"`{column}` is empty", "invisible")


def test_a_column_that_is_not_used_may_hold_anything():
    assert blank.problem(ROW, FORM) is None


def test_a_column_may_be_empty_while_the_question_and_the_answer_are_not():
    assert blank.problem({**ROW, "subject": "", "category": ""}, FORM) is None
    assert blank.problem({**ROW, "subject": "", "body": ""}, FORM) == "its question is empty (`subject`, `body`)"
    assert blank.problem({**ROW, "category": "", "reply": ""}, FORM) == "its answer is empty (`category`, `reply`)"
    assert blank.problem({**ROW, "reply": ""}, {**FORM, "answer": "{{ reply }}"}) == "its answer is empty (`reply`)"


@pytest.mark.parametrize(
    "text",
    [".", "?", "👍", "👩‍💻", "ي", "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", "क्‍ष", "0", "☺️", "\ue000", "é"],
)
def test_what_can_be_seen_is_not_blank(text):
    assert not is_blank(text) and clean(text) == text


def prepared(folder: Path, blanks: int, allowed: float, quarantined: int = 0) -> list[dict]:
    """The dropped rows of 60, some of them blank."""
    entries = [
        {
            **ROW,
            "id": f"r{number:02}",
            "body": f"lamp {number * 7919} is {number * 104729}",
            "subject": f"case {number}",
        }
        for number in range(60)
    ]
    for number in range(blanks):
        entries[number] |= {"body": NOTHING[number]}
    write_jsonl(folder / "in/rows.jsonl", entries)
    write_json(
        folder / "in/limits.json",
        {"rows": 60 + quarantined, "quarantined": quarantined, "max_quarantined_share": allowed},
    )
    write_json(folder / "suite.json", {"expectations": []})
    prepare(PARAMS, folder / "in", folder / "suite.json", folder / "out", folder / "docs", folder / "report.json")
    return read_jsonl(folder / "out/dropped.jsonl")


def test_blank_rows_are_dropped_as_they_were_with_the_reason(tmp_path):
    dropped = prepared(tmp_path, 4, 0.1)
    assert [(row["id"], row["body"], row["reason"]) for row in dropped] == [
        (f"r{number:02}", NOTHING[number], Says("`body` is empty")) for number in range(4)
    ]


def test_more_blank_rows_than_allowed_stop(tmp_path):
    with pytest.raises(
        AnnealError,
        match=r"6\.7% of 60 rows are blank, not of their shape or break a rule "
        r"\(validate\.max_quarantined_share allows 5\.0%\), 4 of "
        r"them seen by prepare, for example r00: `body` is empty",
    ):
        prepared(tmp_path, 4, 0.05)
    assert not (tmp_path / "out").exists()


def test_blank_rows_count_with_those_that_validate_has_set_aside(tmp_path):
    assert len(prepared(tmp_path, 1, 0.07, quarantined=3)) == 1
    with pytest.raises(AnnealError, match=r"6\.3% of 63 rows .* allows 6\.0%\), 1 of them"):
        prepared(tmp_path, 1, 0.06, quarantined=3)


# The two forms of a text


any_text = st.text(st.characters(), max_size=30)


@examples(200)
@given(any_text)
def test_what_is_folded_stays_as_it_is_and_cleaning_changes_nothing_of_it(text):
    assert folded(folded(text)) == folded(text)
    assert is_blank(text) == is_blank(clean(text)) == is_blank(folded(text))


@examples(200)
@given(
    any_text,
    st.sampled_from("\u200b\u200c\u200d\u2060\ufeff\u00ad\u200e\u202e\u2066\ufe0f\u034f\U000e0041"),
    st.integers(0, 30),
)
def test_an_invisible_character_anywhere_changes_nothing_that_is_compared(text, invisible, place):
    assert folded(text[:place] + invisible + text[place:]) == folded(text)


def test_cleaning_takes_out_hints_for_line_breaks_and_keeps_what_carries_meaning():
    assert clean("Ze\u00adbra \u200bcross\u2060ing\ufeff") == "Zebra crossing"
    assert clean("a\x0bb\x0cc\x85d\u2028e\u2029f\r\ng\rh") == "a\nb\nc\nd\ne\nf\ng\nh"
    assert (
        clean("\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645 👩\u200d💻 \u2067abc\u2069")
        == "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645 👩\u200d💻 \u2067abc\u2069"
    )
