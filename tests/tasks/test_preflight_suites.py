"""A dataset without suites gets the first ones from its own rows, which keep them; a person may mend every rule."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.dataset.expectations import check
from tasks.files import write_json, write_jsonl
from tasks.preflight import profile, suites
from tasks.stages.prepare.__main__ import prepare
from tasks.stages.prepare.shapes import table
from tasks.stages.prepare.shapes.table import Params as Prepare
from tasks.stages.validate import Validate, separate, validate
from tests.examples import examples
from tests.sentences import Says

ROWS = [
    {"id": f"{i}", "text": f"Where is parcel {i}? " * (1 + i % 7), "intent": ["track", "refund"][i % 2]}
    for i in range(60)
]
COLUMNS = ["text", "intent"]


def rules(rows: list[dict], share: float = 0.02) -> dict[tuple[str, str], dict]:
    """The rules for `rows` by (type, column)."""
    made = profile.raw_rules(rows, COLUMNS, share)
    return {(rule["type"].removeprefix("expect_"), rule["kwargs"].get("column", "")): rule["kwargs"] for rule in made}


def test_numbers_may_be_others_tomorrow_and_no_words() -> None:
    """What people correct a rating to need not be one of today's."""
    rows = [{**row, "stars": ["1", "2.50", "-4e-1"][i % 3]} for i, row in enumerate(ROWS)]
    made = {rule["type"]: rule["kwargs"] for rule in profile.raw_rules(rows, ["stars"], 0.02, ["stars"])}
    assert list(made) == [
        "expect_table_row_count_to_be_between",
        "expect_column_values_to_not_be_null",
        "expect_column_values_to_match_regex",
    ]
    regex = str(made["expect_column_values_to_match_regex"]["regex"])
    assert all(re.match(regex, text) for text in ("3", " 1.75", "+.5", "1e3"))
    assert not any(re.match(regex, text) for text in ("four", "", "nan", "1,234", "3 kg"))


def test_texts_get_lengths_with_room_and_classes_their_values() -> None:
    made = rules(ROWS)
    assert made["table_row_count_to_be_between", ""] == {"min_value": 30}
    assert made["column_values_to_be_in_set", "intent"]["value_set"] == ["refund", "track"]
    longest = max(len(row["text"]) for row in ROWS)
    assert 2 * longest <= made["column_value_lengths_to_be_between", "text"]["max_value"] < 2.2 * longest
    assert ("column_values_to_not_be_null", "text") in made and ("column_values_to_be_in_set", "text") not in made


def test_a_rule_that_too_many_rows_break_today_is_left_out() -> None:
    some = [{**row, "text": " " if i < 6 else row["text"]} for i, row in enumerate(ROWS)]  # 10 %
    assert ("column_values_to_match_regex", "text") not in rules(some)
    assert ("column_values_to_match_regex", "text") in rules(some, share=0.1)
    assert ("column_values_to_be_in_set", "intent") in rules(some)


def test_a_class_that_is_written_in_two_ways_is_counted_and_said() -> None:
    other = {0: "Track", 1: "REFUND ", 2: "track "}  # the last one is `track` when it is cleaned
    some = [{**row, "intent": other.get(i, row["intent"])} for i, row in enumerate(ROWS)]
    assert list(profile.spellings(some, COLUMNS)) == [
        Says("2 of 60 rows", "`intent`", "track (29), Track (1), …", "until the source has one")
    ]
    assert list(profile.spellings(ROWS, COLUMNS)) == []
    names = [{"text": f"Lamp {i}", "intent": None if i else ""} for i in range(9)]
    assert list(profile.spellings(names, COLUMNS)) == []


cells = st.one_of(
    st.sampled_from(["billing", "billing ", "refund", "", " ", "\u200b"]),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
)
tables = st.lists(st.fixed_dictionaries({"text": cells, "intent": cells}), min_size=1, max_size=40)


@examples(8)
@given(tables, st.sampled_from([0.0, 0.02, 0.2]))
def test_the_profile_never_stops_the_data_it_came_from(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict], share: float
) -> None:
    folder = tmp_path_factory.mktemp("profiled")
    rows = [{"id": f"{i}", **row} for i, row in enumerate(rows)]
    (folder / "suite.json").write_text(suites.as_json(profile.raw_rules(rows, COLUMNS, share)))
    _, quarantined = separate(rows, broken := check(rows, folder / "suite.json", folder / "docs", "raw"))
    assert all(rule.is_row_rule for rule in broken) and len(quarantined) <= share * len(rows)


@pytest.mark.parametrize(("answer", "is_json"), [(["intent"], True), ("{{ intent }}", False)])
def test_rows_go_through_validate_and_prepare_under_the_suites_written_for_them(
    tmp_path: Path, answer: list[str] | str, is_json: bool
) -> None:
    params = Prepare(user="Q: {{ text }}", answer=answer, near_duplicate_similarity=1.0, contamination_similarity=1.0)
    (tmp_path / "raw.json").write_text(suites.as_json(profile.raw_rules(ROWS, table.columns(params), 0.0)))
    (tmp_path / "prepared.json").write_text(suites.as_json(profile.prepared_rules("chat", params.answer)))
    write_jsonl(tmp_path / "raw/rows.jsonl", ROWS)
    validate(
        Validate(max_quarantined_share=0),
        tmp_path / "raw",
        tmp_path / "raw.json",
        tmp_path / "validated",
        tmp_path / "docs",
        tmp_path / "validate.json",
    )
    prepare(
        params,
        tmp_path / "validated",
        tmp_path / "prepared.json",
        tmp_path / "prepared",
        tmp_path / "docs2",
        tmp_path / "prepare.json",
    )
    assert json.loads((tmp_path / "validate.json").read_text())["kept"] == 60
    assert ("json_parseable" in (tmp_path / "prepared.json").read_text()) is is_json


def test_only_suites_that_are_missing_are_written_and_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tasks.params import Dataset, Params
    from tasks.section import parse

    monkeypatch.chdir(tmp_path)
    write_jsonl(Path("mine.jsonl"), ROWS)
    dataset = parse(
        Dataset,
        {
            "ingest": {"source": "mine.jsonl"},
            "validate": {},
            "prepare": {"shape": "table", "user": "{{ text }}", "answer": "{{ intent }}"},
        },
        "",
    )
    params = Params(bases={}, models={}, datasets={"mine": dataset})
    own = {"expectations": []}
    write_json(Path("data/expectations/mine/prepared.json"), own)
    assert suites.write_missing(params, ["mine"]) == [
        Says("data/expectations/mine/raw.json: wrote 7 rules", "edit them as you like")
    ]
    assert json.loads(Path("data/expectations/mine/prepared.json").read_text()) == own
    assert suites.write_missing(params, ["mine"]) == [] and list(suites.missing(["mine"])) == []
