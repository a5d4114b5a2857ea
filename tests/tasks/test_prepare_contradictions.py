"""Rows that ask the same and have other labels are all set aside, and the report shows what contradicts what."""

import pytest

from tasks.files import read_json, read_jsonl
from tasks.stages.prepare.labels import label_columns
from tasks.stages.prepare.shapes.table import Params as Prepare
from tasks.stages.prepare.split_or_drop import assign
from tests.tasks.short_messages import PARAMS, SUBJECTS, kinds, prepared, rows


def test_rows_that_contradict_each_other_are_all_set_aside_whatever_their_order():
    entries = [
        (f"{subject} {tail}", label)
        for subject in SUBJECTS
        for tail in ("today", "since the storm", "in the new flat")
        for label in ("refund", "billing")
    ]
    assignment = assign(rows([*entries, ("The manual is in French", "refund")]), PARAMS)
    assert kinds(assignment) == {"kept": 1, "contradiction": 72}
    assert assign(rows([*entries, ("The manual is in French", "refund")])[::-1], PARAMS) == assignment
    first = next(dropped for dropped in assignment.dropped if dropped.row["id"] == "r000")
    assert (first.like, first.reason) == (
        "r001",
        "contradicts r001, which asks (nearly) the same: `category` is 'refund' here and 'billing' there",
    )


def test_one_row_against_several_sets_all_of_them_aside():
    assert kinds(
        assign(rows([("The lamp is dark", "x")] * 3 + [("The lamp is DARK", "y"), ("The hub is new", "x")]), PARAMS)
    ) == {"kept": 1, "contradiction": 4}


def test_another_free_text_for_the_same_question_is_no_contradiction():
    assert kinds(assign(rows([("The lamp is dark", "x"), ("The lamp is dark", "x")]), PARAMS)) == {
        "kept": 1,
        "near_duplicate": 1,
    }


def test_labels_that_differ_in_blanks_alone_agree():
    assert kinds(assign(rows([("The lamp is dark", "x "), ("The lamp is dark", "x")]), PARAMS)) == {
        "kept": 1,
        "near_duplicate": 1,
    }


def test_an_answer_of_text_that_recurs_is_a_label():
    params = Prepare(user="{{ subject }}", answer="{{ category }}", validation_share=0.2, test_share=0.3)
    assert kinds(assign(rows([("The lamp is dark", "refund"), ("The lamp is dark", "billing")], params), params)) == {
        "kept": 0,
        "contradiction": 2,
    }
    computed = params.model_copy(update={"answer": "{{ category | upper }}"})
    assert kinds(
        assign(rows([("The lamp is dark", "refund"), ("The lamp is dark", "billing")], computed), computed)
    ) == {"kept": 0, "contradiction": 2}


@pytest.mark.parametrize(
    ("values", "is_label"),
    [
        (["a", "b"], True),
        (["x" * 40, "y"], True),
        (["x" * 41, "y"], False),
        (["x" * 41] * 2 + ["y" * 41] * 2, True),
        (["a\nb", "c"], False),
        (["x" * 41, "y" * 41, "y" * 41], False),
    ],
)
def test_a_label_is_short_or_recurs(values, is_label):
    questions = [f"question {number}" for number in range(len(values))]
    assert label_columns(questions, [{"answer": value} for value in values]) == (("answer",) if is_label else ())


def test_the_report_and_the_file_of_dropped_rows_show_what_contradicts_what(tmp_path):
    entries = [
        (f"{subject} {tail}", "refund")
        for subject in SUBJECTS
        for tail in ("today", "since the storm", "in the new flat")
    ]
    folder = prepared(tmp_path, [*entries, ("The lamp is dark today", "billing")])
    report = read_json(folder / "report.json")
    assert report["dropped_for"] == {
        "contradiction": 2,
        "near_duplicate": 0,
        "contamination": 0,
        "blank": 0,
        "broken_rule": 0,
        "malformed": 0,
        "no_preference": 0,
        "unseen_class": 0,
    }
    assert report["contradictions"] == [
        "r036: contradicts r000, which asks (nearly) the same: `category` is 'billing' here and 'refund' there",
        "r000: contradicts r036, which asks (nearly) the same: `category` is 'refund' here and 'billing' there",
    ]
    assert [row["reason"] for row in read_jsonl(folder / "out/dropped.jsonl")] == [
        entry.split(": ", 1)[1] for entry in report["contradictions"]
    ]
