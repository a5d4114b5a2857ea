"""Every row ends up in one split or among the dropped, judged by the prepared suite, and no split is empty."""

import json
import random
from pathlib import Path

import pytest

from tasks.errors import AnnealError
from tasks.files import read_json
from tasks.stages.prepare.__main__ import SPLITS
from tasks.stages.prepare.shapes.table import Params as Prepare
from tasks.stages.prepare.split import split
from tests.tasks.preparing import PARAMS, SUITE, raw, run


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> tuple[Path, list[dict], dict[str, list[dict]]]:
    """60 rows, one of them twice under two ids, one with a tail, prepared."""
    rows = raw(60)
    rows += [{**rows[3], "id": "twice"}, {**rows[4], "id": "tail", "body": rows[4]["body"] + "!"}]
    folder = tmp_path_factory.mktemp("prepared")
    return folder, rows, run(folder, rows)


def test_rows_in_are_rows_in_the_splits_plus_the_dropped(prepared):
    folder, rows, found = prepared
    ids = [one["id"] for name in (*SPLITS, "dropped") for one in found[name]]
    assert sorted(ids) == sorted(one["id"] for one in rows)
    assert all(found[name] for name in SPLITS)
    report = read_json(folder / "report.json")
    assert {name: report[name] for name in ("rows", "dropped", *SPLITS)} == {
        "rows": 62,
        "dropped": 2,
        **{name: len(found[name]) for name in SPLITS},
    }
    assert report["dropped_for"] == {
        "near_duplicate": 2,
        "contradiction": 0,
        "contamination": 0,
        "blank": 0,
        "malformed": 0,
        "no_preference": 0,
        "unseen_class": 0,
        "broken_rule": 0,
    }
    assert len(found["dropped"]) == 2 and {one["id"][:1] for one in found["dropped"]} <= {"r", "t"}
    assert all(one["reason"].startswith("near-duplicate of ") for one in found["dropped"])


def test_a_row_of_a_split_is_what_the_model_is_asked_and_should_say_and_where_that_came_from(prepared):
    _, rows, found = prepared
    by_id = {one["id"]: one for one in rows}
    for one in [one for name in SPLITS for one in found[name]]:
        source = by_id[one["id"]]
        assert one == {
            "id": source["id"],
            "answer": json.dumps({"category": source["category"], "reply": source["reply"]}),
            "row": source,
            "messages": [
                {"role": "system", "content": "Triage."},
                {"role": "user", "content": (f"{source['subject']}: {source['body']}")},
            ],
        }


def test_the_templates_travel_with_the_rows(prepared):
    assert read_json(prepared[0] / "out" / "format.json") == {
        "system": PARAMS.system,
        "user": PARAMS.user,
        "answer": PARAMS.answer,
        "shape": "table",
        "example": "chat",
    }


def test_data_docs_of_the_prepared_rows_can_be_opened(prepared):
    assert "<html" in (prepared[0] / "docs" / "index.html").read_text(encoding="utf-8")


def test_the_order_of_the_source_does_not_matter(prepared, tmp_path):
    folder, rows, _ = prepared
    shuffled = rows[::-1]
    random.Random(1).shuffle(shuffled)
    run(tmp_path, shuffled)
    for name in (*(f"out/{name}.jsonl" for name in (*SPLITS, "dropped")), "out/format.json", "report.json"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes(), name


def fails(
    folder: Path, rows: list[dict], params: Prepare = PARAMS, suite: list[dict] = SUITE, limits: dict | None = None
) -> str:
    with pytest.raises(AnnealError) as stopped:
        run(folder, rows, params, suite, limits)
    assert {entry.name for entry in folder.iterdir()} <= {"in", "suite.json", "docs"}
    assert len(str(stopped.value).splitlines()) == 1
    return str(stopped.value)


RULE = {"type": "expect_column_values_to_not_match_regex", "kwargs": {"column": "answer", "regex": r"Reply 1\d\."}}
NAME = "expect_column_values_to_not_match_regex(answer)"


def test_rows_that_break_a_row_rule_of_the_prepared_suite_are_dropped_with_the_reason(tmp_path):
    found = run(tmp_path, raw(60), suite=[{**RULE, "kwargs": {**RULE["kwargs"], "regex": r"Reply 7\."}}])
    assert [(one["id"], one["reason"]) for one in found["dropped"]] == [("r007", f"breaks {NAME}")]
    assert sum(len(found[name]) for name in SPLITS) == 59
    assert read_json(tmp_path / "report.json")["dropped_for"]["broken_rule"] == 1


def test_more_broken_rows_than_validate_allows_stop_with_share_and_examples(tmp_path):
    words = fails(tmp_path, raw(60), suite=[RULE])
    assert words.startswith(
        "16.7% of 60 rows are blank, not of their shape or break a rule "
        "(validate.max_quarantined_share allows 2.0%), 10 of them seen by prepare, for example r0"
    )
    assert words.count(f"breaks {NAME}") == 3


def test_rows_that_validate_has_set_aside_count(tmp_path):
    run(tmp_path, raw(60), suite=[RULE], limits={"rows": 100, "max_quarantined_share": 0.1})
    assert fails(
        tmp_path / "more", raw(60), suite=[RULE], limits={"rows": 100, "quarantined": 1, "max_quarantined_share": 0.1}
    ).startswith("11.0% of 100 rows")


def test_a_table_rule_that_the_prepared_rows_break_stops_with_what_was_observed(tmp_path):
    rule = {"type": "expect_table_row_count_to_equal", "kwargs": {"value": 3}}
    assert fails(tmp_path, raw(40), suite=[rule]).startswith(
        "prepared rows break expect_table_row_count_to_equal(table): observed 40; see "
    )


def test_the_suite_sees_the_prompt_and_answer_that_are_trained_on_whatever_columns_the_source_has(tmp_path):
    rows = [{"id": one["id"], "prompt": one["body"], "answer": "raw", "split": "mine"} for one in raw(60)]
    params = Prepare(system="s", user="Q: {{ prompt }}", answer=["answer"], validation_share=0.2, test_share=0.3)
    run(
        tmp_path,
        rows,
        params,
        [*SUITE, {"type": "expect_column_values_to_match_regex", "kwargs": {"column": "prompt", "regex": "^Q: "}}],
    )


@pytest.mark.parametrize("name", SPLITS)
def test_an_empty_split_is_refused_by_name(tmp_path, name):
    rows = [
        one
        for one in raw(60)
        if split(f"{one['subject']}: {one['body']}", PARAMS.seed, PARAMS.validation_share, PARAMS.test_share) != name
    ]
    assert f"the {name} split is empty ({len(rows)} rows in, 0 dropped)" in fails(tmp_path, rows)


def test_held_out_rows_by_which_nothing_can_be_shown_are_told_before_the_training(tmp_path, capsys):
    params = PARAMS.model_copy(update={"test_share": 0.05})
    run(tmp_path / "few", raw(30), params)
    said = capsys.readouterr().err
    assert "held out for the test, and by fewer than 5 the gate cannot show" in said and "test_share (0.05)" in said
    run(tmp_path / "many", raw(60))
    assert "held out for the test" not in capsys.readouterr().err


def test_shares_that_leave_nothing_to_train_on_are_refused():
    with pytest.raises(ValueError, match="leave nothing to train on"):
        Prepare(system="s", user="u", answer=["a"], validation_share=0.5, test_share=0.5)


# What is too alike
