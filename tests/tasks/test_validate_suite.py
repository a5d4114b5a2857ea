"""A suite that cannot be used stops in one sentence, and no rule in it is passed over in silence."""

import json
from pathlib import Path

import pytest

from tasks.dataset.expectations import check
from tasks.errors import AnnealError
from tasks.files import write_json
from tests.tasks.validating import CLASSES, LENGTH, good


def unusable(tmp_path: Path, content: str) -> str:
    (tmp_path / "suite.json").write_text(content)
    with pytest.raises(AnnealError) as stopped:
        check(good(3), tmp_path / "suite.json", tmp_path / "docs", "raw")
    assert [entry.name for entry in tmp_path.iterdir() if entry.name != "docs"] == ["suite.json"]
    assert len(str(stopped.value).splitlines()) == 1
    return str(stopped.value).removeprefix(str(tmp_path / "suite.json"))


@pytest.mark.parametrize(
    ("kind", "kwargs", "words"),
    [
        (
            "expect_column_values_to_be_in_sett",
            {"column": "body", "value_set": []},
            ": `expect_column_values_to_be_in_sett` is not a known expectation; did you mean "
            "`expect_column_values_to_be_in_set`?",
        ),
        (
            "expect_column_values_to_be_in_set",
            {"column": "intent", "value_set": []},
            ": expect_column_values_to_be_in_set names the column `intent`; the rows have: id, category, body.",
        ),
        (
            "expect_column_pair_values_to_be_equal",
            {"column_A": "body", "column_B": "text"},
            ": expect_column_pair_values_to_be_equal names the column `text`;",
        ),
        (
            "expect_compound_columns_to_be_unique",
            {"column_list": ["body", "text"]},
            ": expect_compound_columns_to_be_unique names the column `text`;",
        ),
        (
            "expect_table_row_count_to_be_between",
            {"min_valu": 3},
            " is not a usable suite: 1 validation error for ExpectTableRowCountToBeBetween min_valu",
        ),
        (
            "expect_column_values_to_match_regex",
            {"column": "body", "regex": "("},
            ": expect_column_values_to_match_regex could not be computed: Invalid regular expression",
        ),
        (
            "expect_column_mean_to_be_between",
            {"column": "body", "min_value": 1},
            ": expect_column_mean_to_be_between could not be computed: ",
        ),
    ],
)
def test_a_rule_that_cannot_be_looked_at_is_one_sentence_and_never_a_rule_that_holds(tmp_path, kind, kwargs, words):
    assert unusable(tmp_path, json.dumps({"expectations": [CLASSES, {"type": kind, "kwargs": kwargs}]})).startswith(
        words
    )


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", " is not valid JSON"),
        ("[]", " is not a usable suite: it should hold a list `expectations`."),
        ('{"expectation": []}', " is not a usable suite: it should hold a list `expectations`."),
        (
            '{"expectations": [{"type": "expect_column_to_exist"}]}',
            " is not a usable suite: expectation 1 should have a `type` (text) and `kwargs`",
        ),
        ('{"expectations": [{"kwargs": {}}]}', " is not a usable suite: expectation 1 should have a `type`"),
        ('{"expectations": ["expect_column_to_exist"]}', " is not a usable suite: expectation 1 should have a `type`"),
    ],
)
def test_a_suite_that_is_none_is_one_sentence(tmp_path, content, words):
    assert unusable(tmp_path, content).startswith(words)


def test_a_missing_suite_is_one_sentence_that_says_what_to_write(tmp_path):
    with pytest.raises(AnnealError, match="suite.json is missing: write the rules"):
        check(good(3), tmp_path / "suite.json", tmp_path / "docs", "raw")
    assert list(tmp_path.iterdir()) == []


def test_rules_that_all_hold_leave_nothing_broken(tmp_path):
    write_json(
        tmp_path / "suite.json",
        {
            "expectations": [
                LENGTH,
                CLASSES,
                {
                    "type": "expect_table_columns_to_match_ordered_list",
                    "kwargs": {"column_list": ["id", "category", "body"]},
                },
            ]
        },
    )
    assert check(good(3), tmp_path / "suite.json", tmp_path / "docs", "raw") == []
