"""Every row ends up in one split or among the dropped; where, its content alone decides; and nothing held out is
like anything trained on.
"""

import json
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.errors import AnnealError
from tasks.files import read_json, read_jsonl, write_json, write_jsonl
from tasks.prepare.__main__ import SPLITS, prepare
from tasks.prepare.assign import assign
from tasks.prepare.duplicates import jaccard, shingles
from tasks.prepare.params import Prepare
from tasks.prepare.split import split

modest = settings(max_examples=25, deadline=None, derandomize=True, database=None)
PARAMS = Prepare(
    system="Triage.",
    user="{{ subject }}: {{ body }}",
    answer=["category", "reply"],
    validation_share=0.2,
    test_share=0.3,
)
SUITE = [
    {"type": "expect_column_values_to_be_in_set", "kwargs": {"column": "split", "value_set": list(SPLITS)}},
    {"type": "expect_column_values_to_be_json_parseable", "kwargs": {"column": "answer"}},
]
WORDS = (
    "amber boat cedar dusk ember frost grove heron inlet jade kelp lark maple north otter pearl quartz river "
    "slate thorn umber vale willow yarrow zephyr"
).split()


def bodies(count: int, seed: int = 0) -> list[str]:
    """Texts of 12 words, none like another."""
    chance = random.Random(seed)
    return [" ".join(chance.choices(WORDS, k=12)) for _ in range(count)]


def raw(count: int) -> list[dict]:
    return [
        {
            "id": f"r{number:03}",
            "subject": f"case {number}",
            "body": body,
            "category": "billing",
            "reply": f"Reply {number}.",
        }
        for number, body in enumerate(bodies(count))
    ]


def row(text: str, identity: str = "r", answer: str = "a") -> dict:
    """A formatted row whose prompt is `text`."""
    return {
        "id": identity,
        "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": text}],
        "answer": answer,
        "row": {"id": identity, "subject": "", "body": text, "reply": answer},
    }


def assigned(texts: list[str], params: Prepare = PARAMS) -> tuple[dict[str, str], dict[str, str]]:
    """({text: split} of the kept, {text: reason} of the dropped); the id of a row is its text."""
    assignment = assign([row(text, text) for text in texts], params)
    return {placed.row["id"]: placed.split for placed in assignment.kept}, {
        dropped.row["id"]: dropped.reason for dropped in assignment.dropped
    }


def of_split(name: str, base: str, params: Prepare = PARAMS) -> str:
    """`base` with the first number after it that puts the text into the split `name`."""
    return next(
        text
        for number in range(1000)
        if split(text := f"{base} {number}", params.seed, params.validation_share, params.test_share) == name
    )


def run(
    folder: Path, rows: list[dict], params: Prepare = PARAMS, suite: list[dict] = SUITE, limits: dict | None = None
) -> dict[str, list[dict]]:
    write_jsonl(folder / "in" / "rows.jsonl", rows)
    write_json(
        folder / "in" / "limits.json",
        {"rows": len(rows), "quarantined": 0, "max_quarantined_share": 0.02} | (limits or {}),
    )
    write_json(folder / "suite.json", {"expectations": suite})
    prepare(params, folder / "in", folder / "suite.json", folder / "out", folder / "docs", folder / "report.json")
    return {name: read_jsonl(folder / "out" / f"{name}.jsonl") for name in (*SPLITS, "dropped")}


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
        "16.7% of 60 rows are blank or break a rule (validate.max_quarantined_share allows 2.0%), 10 of them seen by "
        "prepare, for example r0"
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


def test_shares_that_leave_nothing_to_train_on_are_refused():
    with pytest.raises(ValueError, match="leave nothing to train on"):
        Prepare(system="s", user="u", answer=["a"], validation_share=0.5, test_share=0.5)


short = st.lists(st.sampled_from(WORDS), min_size=3, max_size=8).map(" ".join)


@modest
@given(st.lists(short, min_size=1, max_size=8, unique=True), st.lists(short, max_size=8))
def test_rows_that_are_added_never_move_a_row_to_another_split(texts, added):
    before, _ = assigned(texts)
    after, _ = assigned(list(dict.fromkeys([*texts, *added])))
    assert all(before[text] == after[text] for text in before.keys() & after.keys())


@modest
@given(st.lists(short, min_size=1, max_size=10, unique=True), st.randoms(use_true_random=False))
def test_every_row_is_kept_or_dropped_once_in_an_order_of_its_own(texts, chance):
    rows = [row(text, text) for text in texts]
    assignment = assign(rows, PARAMS)
    assert sorted([one.row["id"] for one in [*assignment.kept, *assignment.dropped]]) == sorted(texts)
    chance.shuffle(rows)
    assert assign(rows, PARAMS) == assignment


# What is too alike


def test_near_duplicates_leave_one_survivor():
    base = "the lamp in the hall flickers every evening at about ten past nine and then goes out"
    texts = [base, base + "!", base.upper(), base.replace("ten", "six"), *bodies(10)]
    kept, dropped = assigned(texts)
    assert len(kept.keys() & set(texts[:4])) == 1 and set(bodies(10)) <= kept.keys()
    (survivor,) = kept.keys() & set(texts[:4])
    assert set(dropped.values()) == {f"near-duplicate of {survivor}"}


def test_a_row_is_dropped_only_for_one_that_stays():
    first = "the lamp in the hall flickers every evening at about ten past nine and then goes out until the morning"
    second, third = f"{first}, so I am told", f"{first}, so I am told by my aunt"
    pieces = [shingles(text) for text in (first, second, third)]
    assert jaccard(pieces[0], pieces[1]) >= 0.8 and jaccard(pieces[1], pieces[2]) >= 0.8 > jaccard(pieces[0], pieces[2])
    kept, dropped = assigned([first, second, third], PARAMS.model_copy(update={"contamination_similarity": 1.0}))
    assert kept.keys() == {first, third} and dropped == {second: f"near-duplicate of {first}"}


def test_rows_that_are_only_somewhat_alike_all_stay():
    first, second = "the lamp in the hall flickers every evening", "the lamp in the hall was delivered broken"
    assert jaccard(shingles(first), shingles(second)) < PARAMS.contamination_similarity
    assert set(assigned([first, second])[0]) == {first, second}


def alike(held_out: str) -> tuple[str, str]:
    """A text of the split `held_out` and one of training: too alike to be held out from each other, not alike enough
    to be duplicates.
    """
    base = "the lamp in the hall flickers every evening at about ten past nine and then goes out until the morning"
    one, other = of_split(held_out, base), of_split("train", base + ", which my neighbour saw too")
    assert PARAMS.contamination_similarity <= jaccard(shingles(one), shingles(other)) < PARAMS.near_duplicate_similarity
    return one, other


@pytest.mark.parametrize("held_out", ["test", "validation"])
def test_a_row_of_training_that_is_too_like_a_held_out_row_goes_and_the_held_out_row_stays(held_out):
    one, other = alike(held_out)
    kept, dropped = assigned([one, other, *bodies(10)])
    assert kept[one] == held_out
    assert dropped == {other: f"too like {one} of the {held_out} split"}


def test_two_rows_of_training_may_be_that_alike():
    _, other = alike("test")
    another = of_split(
        "train",
        "the lamp in the hall flickers every evening at about ten past nine and then goes out until the morning",
    )
    assert (
        PARAMS.contamination_similarity
        <= jaccard(shingles(another), shingles(other))
        < PARAMS.near_duplicate_similarity
    )
    assert assigned([another, other]) == ({another: "train", other: "train"}, {})


def test_many_planted_duplicates_are_all_found_and_nothing_else_goes():
    originals = bodies(150, seed=3)
    chance = random.Random(4)
    copies = []
    for text in originals[:100]:
        place = chance.randrange(len(text))
        copies.append(text[:place] + chance.choice("!?,x") + text[place:])
    kept, dropped = assigned([*originals, *copies])
    assert len(dropped) == 100 and len(kept) == 150
    assert set(originals[100:]) <= kept.keys()
