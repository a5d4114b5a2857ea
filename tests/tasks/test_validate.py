"""Rows that break a row rule are set aside with the reason; a table rule or too many of them stop the run."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.dataset.expectations import Broken
from tasks.files import read_json, read_jsonl
from tasks.stages.validate import separate
from tests.examples import examples
from tests.tasks.validating import CLASSES, LENGTH, Run, good

PAIRS = {
    "type": "expect_column_pair_values_to_be_in_set",
    "kwargs": {"column_A": "category", "column_B": "body", "value_pairs_set": [["billing", "row 000, long enough"]]},
}
ENOUGH = {"type": "expect_table_row_count_to_be_between", "kwargs": {"min_value": 100}}
MANY = {"type": "expect_column_unique_value_count_to_be_between", "kwargs": {"column": "category", "min_value": 3}}


@pytest.fixture(scope="module")
def some_bad(tmp_path_factory) -> tuple[list[dict], Run]:
    """40 rows of which three break rules: one two rules at once, one a rule that is `mostly` held."""
    rows = good(40)
    rows[7] |= {"body": "no"}
    rows[11] |= {"category": "gossip", "body": "eh"}
    rows[20] |= {"category": "weather"}
    return rows, Run(
        tmp_path_factory.mktemp("some"),
        rows,
        [LENGTH, {**CLASSES, "kwargs": {**CLASSES["kwargs"], "mostly": 0.5}}],
        share=0.1,
    )


def test_rows_in_are_rows_kept_plus_rows_quarantined(some_bad):
    rows, run = some_bad
    assert run.error is None
    kept, quarantined = (read_jsonl(run.folder / "out" / f"{name}.jsonl") for name in ("rows", "quarantine"))
    assert kept == [row for index, row in enumerate(rows) if index not in (7, 11, 20)]
    assert [{key: row[key] for key in ("id", "category", "body")} for row in quarantined] == [
        rows[7],
        rows[11],
        rows[20],
    ]
    assert read_json(run.folder / "report.json") == {
        "rows": 40,
        "kept": 37,
        "quarantined": 3,
        "quarantined_share": 3 / 40,
        "broken_rules": [
            "expect_column_value_lengths_to_be_between(body)",
            "expect_column_values_to_be_in_set(category)",
        ],
    }


def test_a_quarantined_row_says_every_rule_that_it_broke(some_bad):
    reasons = [row["reasons"] for row in read_jsonl(some_bad[1].folder / "out" / "quarantine.jsonl")]
    length, classes = "expect_column_value_lengths_to_be_between(body)", "expect_column_values_to_be_in_set(category)"
    assert reasons == [[length], [length, classes], [classes]]


def test_data_docs_can_be_opened(some_bad):
    docs = some_bad[1].folder / "docs"
    assert "<html" in (docs / "index.html").read_text(encoding="utf-8")
    assert any(
        "expect_column_value_lengths_to_be_between" in page.read_text(encoding="utf-8")
        or "body" in page.read_text(encoding="utf-8")
        for page in docs.glob("validations/**/*.html")
    )
    assert some_bad[1].written() == {"out", "docs", "report.json"}


def test_the_same_rows_give_the_same_bytes(some_bad, tmp_path):
    rows, run = some_bad
    again = Run(tmp_path, rows, [LENGTH, CLASSES], share=0.1)
    assert again.error is None
    for name in ("out/rows.jsonl", "out/quarantine.jsonl", "report.json"):
        assert (tmp_path / name).read_bytes() == (run.folder / name).read_bytes()


def test_too_many_bad_rows_stop_with_expectation_column_share_and_three_examples(tmp_path):
    rows = good(20)
    for index in (3, 5, 8, 13):
        rows[index] |= {"body": f"b{index}"}
    run = Run(tmp_path, rows, [LENGTH, CLASSES], share=0.19)
    assert "20.0% of 20 rows break row rules (validate.max_quarantined_share allows 19.0%)" in run.error
    assert (
        'expect_column_value_lengths_to_be_between(body), 20.0%, for example r3: ["b3"]; r5: ["b5"]; r8: ["b8"]; see '
        in run.error
    )
    assert "r13" not in run.error and len(run.error.splitlines()) == 1
    assert f"{tmp_path / 'docs' / 'index.html'}" in run.error
    assert run.written() == {"docs"} and (tmp_path / "docs" / "index.html").exists()


def test_as_many_bad_rows_as_allowed_are_allowed(tmp_path):
    rows = good(20)
    rows[3] |= {"body": "b"}
    assert Run(tmp_path, rows, [LENGTH], share=0.05).error is None


def test_a_table_rule_that_does_not_hold_stops_however_much_may_be_set_aside(tmp_path):
    run = Run(tmp_path, good(20), [LENGTH, ENOUGH], share=1.0)
    assert run.error.startswith(
        "table rule expect_table_row_count_to_be_between(table) does not hold for 20 rows: observed 20; see "
    )
    assert run.written() == {"docs"} and len(run.error.splitlines()) == 1


def test_a_rule_over_a_whole_column_stops_too(tmp_path):
    assert Run(tmp_path, good(20), [MANY], share=1.0).error.startswith(
        "table rule expect_column_unique_value_count_to_be_between(category) does not hold for 20 rows: observed 2; "
        "see "
    )


def test_a_row_rule_that_names_no_row_stops_and_is_not_passed_over(tmp_path):
    run = Run(
        tmp_path,
        good(5),
        [{"type": "expect_column_values_to_be_of_type", "kwargs": {"column": "body", "type_": "int64"}}],
        share=1.0,
    )
    assert run.error.startswith(
        "table rule expect_column_values_to_be_of_type(body) does not hold for 5 rows: observed 'str'"
    )


EVEN = {
    "type": "expect_column_kl_divergence_to_be_less_than",
    "kwargs": {
        "column": "category",
        "partition_object": {"values": ["billing", "refund"], "weights": [0.5, 0.5]},
        "threshold": 0.05,
    },
}


def test_table_rules_see_the_rows_that_are_left(tmp_path):
    """One value outside the set makes the divergence infinite; its row is set aside by another rule."""
    rows = good(200)
    rows[8] |= {"category": "BILLING"}
    for expectations in ([EVEN, CLASSES], [CLASSES, EVEN]):
        run = Run(tmp_path, rows, expectations)
        assert run.error is None
        assert [row["id"] for row in read_jsonl(tmp_path / "out/quarantine.jsonl")] == ["r8"]
        assert len(read_jsonl(tmp_path / "out/rows.jsonl")) == 199
        assert read_json(tmp_path / "out/limits.json") == {"rows": 200, "quarantined": 1, "max_quarantined_share": 0.02}


def test_a_table_rule_that_does_not_hold_for_the_rows_that_are_left_names_no_innocent_row(tmp_path):
    rows = [{**row, "category": "billing"} for row in good(200)]
    rows[8] |= {"category": "BILLING"}
    error = Run(tmp_path, rows, [CLASSES, EVEN]).error
    assert error.startswith(
        "table rule expect_column_kl_divergence_to_be_less_than(category) does not hold for 199 rows, without the 1 "
        "that are set aside: observed "
    )
    assert "r0" not in error


def test_a_table_rule_that_only_the_rows_that_are_left_break_stops(tmp_path):
    rows = good(20)
    rows[3] |= {"category": "gossip"}
    assert Run(tmp_path, rows, [CLASSES, MANY], share=0.1).error.startswith(
        "table rule expect_column_unique_value_count_to_be_between(category) does not hold for 19 rows"
    )


def test_rows_that_are_all_set_aside_stop(tmp_path):
    assert Run(
        tmp_path, [{**row, "category": "gossip"} for row in good(5)], [CLASSES, EVEN], share=1.0
    ).error.startswith("100.0% of 5 rows break row rules")


def test_rules_judge_the_clean_text(tmp_path):
    rows = good(40)
    rows[7] |= {"body": "no" + " " * 8}
    rows[8] |= {"category": "billing "}
    assert Run(tmp_path, rows, [LENGTH, CLASSES], share=0.1).error is None
    assert [row["body"] for row in read_jsonl(tmp_path / "out/quarantine.jsonl")] == ["no" + " " * 8]


def test_a_rule_over_two_columns_sets_rows_aside(tmp_path):
    run = Run(tmp_path, good(4), [PAIRS], share=0.75)
    assert run.error is None
    assert [row["reasons"] for row in read_jsonl(tmp_path / "out" / "quarantine.jsonl")] == [
        ["expect_column_pair_values_to_be_in_set(category, body)"]
    ] * 3


@examples(60)
@given(st.integers(0, 20), st.data())
def test_every_row_is_kept_or_set_aside_with_all_its_reasons(count, data):
    rows = good(count)
    places = st.lists(st.integers(0, count - 1), unique=True).map(sorted).map(tuple) if count else st.just(())
    broken = [
        Broken(f"rule{number}", "body", found, None, True)
        for number, found in enumerate(data.draw(st.lists(places, max_size=4)))
    ]
    kept, quarantined = separate(rows, broken)
    assert len(kept) + len(quarantined) == len(rows)
    bad = {row["id"]: row["reasons"] for row in quarantined}
    assert [row for row in rows if row["id"] not in bad] == kept
    assert [{key: row[key] for key in rows[0]} for row in quarantined] == [row for row in rows if row["id"] in bad]
    for index, row in enumerate(rows):
        assert bad.get(row["id"], []) == [rule.reason() for rule in broken if index in rule.rows]
