"""Every row ends up in one split or among the dropped; where, its content alone decides; and nothing held out is like anything trained on."""

import json
import random
import unicodedata
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tasks.errors import AnnealError
from tasks.files import read_json, read_jsonl, write_json, write_jsonl
from tasks.prepare.__main__ import SPLITS, assign, prepare
from tasks.prepare.duplicates import jaccard, shingles, similar_pairs
from tasks.prepare.format import clean, format_row, render
from tasks.prepare.params import Prepare
from tasks.prepare.split import split

modest = settings(max_examples=50, deadline=None, derandomize=True, database=None)
PARAMS = Prepare(system="Triage.", user="{{ subject }}: {{ body }}", answer=["category", "reply"], validation_share=0.2, test_share=0.3)
SUITE = [{"type": "expect_column_values_to_be_in_set", "kwargs": {"column": "split", "value_set": list(SPLITS)}}, {"type": "expect_column_values_to_be_json_parseable", "kwargs": {"column": "answer"}}]
WORDS = "amber boat cedar dusk ember frost grove heron inlet jade kelp lark maple north otter pearl quartz river slate thorn umber vale willow yarrow zephyr".split()
any_text = st.text(st.characters(), max_size=40)  # lone surrogates too


def bodies(count: int, seed: int = 0) -> list[str]:
    """Texts of 12 words, none like another."""
    chance = random.Random(seed)
    return [" ".join(chance.choices(WORDS, k=12)) for _ in range(count)]


def raw(count: int) -> list[dict]:
    return [{"id": f"r{number:03}", "subject": f"case {number}", "body": body, "category": "billing", "reply": f"Reply {number}."} for number, body in enumerate(bodies(count))]


def row(text: str, identity: str = "r", answer: str = "a") -> dict:
    """A formatted row whose prompt is `text`."""
    return {"id": identity, "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": text}], "answer": answer, "row": {"id": identity, "text": text}}


def assigned(texts: list[str], params: Prepare = PARAMS) -> tuple[dict[str, str], dict[str, str]]:
    """({text: split} of the kept, {text: reason} of the dropped); the id of a row is its text."""
    kept, dropped = assign([row(text, text) for text in texts], params)
    return {one["id"]: one["split"] for one in kept}, {one["id"]: one["reason"] for one in dropped}


def of_split(name: str, base: str, params: Prepare = PARAMS) -> str:
    """`base` with the first number after it that puts the text into the split `name`."""
    return next(text for number in range(1000) if split(text := f"{base} {number}", params.seed, params.validation_share, params.test_share) == name)


def run(folder: Path, rows: list[dict], params: Prepare = PARAMS, suite: list[dict] = SUITE) -> dict[str, list[dict]]:
    write_jsonl(folder / "in" / "rows.jsonl", rows)
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
    assert read_json(folder / "report.json") == {"rows": 62, "dropped": len(found["dropped"]), **{name: len(found[name]) for name in SPLITS}}
    assert len(found["dropped"]) == 2 and {one["id"][:1] for one in found["dropped"]} <= {"r", "t"}
    assert all(one["reason"].startswith("near-duplicate of ") for one in found["dropped"])


def test_a_row_of_a_split_is_what_the_model_is_asked_and_should_say_and_where_that_came_from(prepared):
    _, rows, found = prepared
    by_id = {one["id"]: one for one in rows}
    for one in [one for name in SPLITS for one in found[name]]:
        source = by_id[one["id"]]
        assert one == {
            "id": source["id"], "answer": json.dumps({"category": source["category"], "reply": source["reply"]}), "row": source,
            "messages": [{"role": "system", "content": "Triage."}, {"role": "user", "content": f"{source['subject']}: {source['body']}"}],
        }  # fmt: skip


def test_the_templates_travel_with_the_rows(prepared):
    assert read_json(prepared[0] / "out" / "format.json") == {"system": PARAMS.system, "user": PARAMS.user, "answer": PARAMS.answer}


def test_data_docs_of_the_prepared_rows_can_be_opened(prepared):
    assert "<html" in (prepared[0] / "docs" / "index.html").read_text(encoding="utf-8")


def test_the_order_of_the_source_does_not_matter(prepared, tmp_path):
    folder, rows, _ = prepared
    shuffled = rows[::-1]
    random.Random(1).shuffle(shuffled)
    run(tmp_path, shuffled)
    for name in (*(f"out/{name}.jsonl" for name in (*SPLITS, "dropped")), "out/format.json", "report.json"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes(), name


def fails(folder: Path, rows: list[dict], params: Prepare = PARAMS, suite: list[dict] = SUITE) -> str:
    with pytest.raises(AnnealError) as stopped:
        run(folder, rows, params, suite)
    assert {entry.name for entry in folder.iterdir()} <= {"in", "suite.json", "docs"}
    assert len(str(stopped.value).splitlines()) == 1
    return str(stopped.value)


def test_a_suite_that_the_prepared_rows_break_stops_with_rule_share_and_examples(tmp_path):
    rule = {"type": "expect_column_values_to_not_match_regex", "kwargs": {"column": "answer", "regex": r"Reply \d\."}}
    said = fails(tmp_path, raw(40), suite=[rule])
    assert said.startswith("prepared rows break expect_column_values_to_not_match_regex(answer) (25.0% of rows): r0")
    assert said.count('{"category": "billing", "reply": "Reply ') == 3 and f"see {tmp_path / 'docs' / 'index.html'}" in said


def test_a_table_rule_that_the_prepared_rows_break_stops_with_what_was_observed(tmp_path):
    assert "(0.0% of rows): observed 40; see " in fails(tmp_path, raw(40), suite=[{"type": "expect_table_row_count_to_equal", "kwargs": {"value": 3}}])


def test_the_suite_sees_the_prompt_and_answer_that_are_trained_on_whatever_columns_the_source_has(tmp_path):
    rows = [{"id": one["id"], "prompt": one["body"], "answer": "raw", "split": "mine"} for one in raw(40)]
    params = Prepare(system="s", user="Q: {{ prompt }}", answer=["answer"], validation_share=0.2, test_share=0.3)
    run(tmp_path, rows, params, [*SUITE, {"type": "expect_column_values_to_match_regex", "kwargs": {"column": "prompt", "regex": "^Q: "}}])


@pytest.mark.parametrize("name", SPLITS)
def test_an_empty_split_is_refused_by_name(tmp_path, name):
    rows = [one for one in raw(60) if split(f"{one['subject']}: {one['body']}", PARAMS.seed, PARAMS.validation_share, PARAMS.test_share) != name]
    assert f"the {name} split is empty ({len(rows)} rows in, 0 dropped)" in fails(tmp_path, rows)


def test_no_validation_split_is_no_mistake_when_none_is_wanted(tmp_path):
    found = run(tmp_path, raw(30), PARAMS.model_copy(update={"validation_share": 0.0}))
    assert found["validation"] == [] and found["train"] and found["test"]


def test_shares_that_leave_nothing_to_train_on_are_refused():
    with pytest.raises(ValueError, match="leave nothing to train on"):
        Prepare(system="s", user="u", answer=["a"], validation_share=0.5, test_share=0.5)


# Where a row goes


@pytest.mark.parametrize(("validation", "test"), [(0.1, 0.2), (0.0, 0.5), (0.08, 0.18)])
def test_shares_are_about_right_over_many_texts(validation, test):
    found = [split(f"text {number}", 42, validation, test) for number in range(10_000)]
    for name, share in (("validation", validation), ("test", test), ("train", 1 - validation - test)):
        assert found.count(name) / len(found) == pytest.approx(share, abs=0.015)  # three standard deviations at most


def test_the_split_of_a_text_is_the_same_in_every_version():
    found = [split(f"text {number}", 42, 0.1, 0.2) for number in range(12)]
    assert " ".join(found) == "validation train test train train train train train train train train train"


def test_another_seed_is_another_split():
    texts = [f"text {number}" for number in range(200)]
    assert [split(text, 1, 0.1, 0.2) for text in texts] != [split(text, 2, 0.1, 0.2) for text in texts]


def test_a_larger_test_share_only_adds_to_the_test_rows():
    for number in range(500):
        if split(f"text {number}", 42, 0.1, 0.2) == "test":
            assert split(f"text {number}", 42, 0.1, 0.3) == "test"


short = st.lists(st.sampled_from(WORDS), min_size=3, max_size=8).map(" ".join)


@settings(modest, max_examples=25)
@given(st.lists(short, min_size=1, max_size=8, unique=True), st.lists(short, max_size=8))
def test_rows_that_are_added_never_move_a_row_to_another_split(texts, added):
    before, _ = assigned(texts)
    after, _ = assigned(list(dict.fromkeys([*texts, *added])))
    assert all(before[text] == after[text] for text in before.keys() & after.keys())


@settings(modest, max_examples=25)
@given(st.lists(short, min_size=1, max_size=10, unique=True), st.randoms(use_true_random=False))
def test_every_row_is_kept_or_dropped_once_in_an_order_of_its_own(texts, chance):
    rows = [row(text, text) for text in texts]
    kept, dropped = assign(rows, PARAMS)
    assert sorted([one["id"] for one in [*kept, *dropped]]) == sorted(texts)
    chance.shuffle(rows)
    assert assign(rows, PARAMS) == (kept, dropped)


# What is too alike


def test_near_duplicates_leave_one_survivor():
    base = "the lamp in the hall flickers every evening at about ten past nine and then goes out"
    texts = [base, base + "!", base.upper(), base.replace("ten", "six"), *bodies(10)]
    kept, dropped = assigned(texts)
    assert len(kept.keys() & set(texts[:4])) == 1 and set(bodies(10)) <= kept.keys()
    (survivor,) = kept.keys() & set(texts[:4])
    assert set(dropped.values()) == {f"near-duplicate of {survivor}"}


def test_the_same_prompt_with_two_answers_leaves_one_whatever_the_order():
    rows = [row("where is my parcel, it was due on Monday", "x", "late"), row("where is my parcel, it was due on Monday", "y", "lost")]
    kept, dropped = assign(rows, PARAMS)
    assert ([one["answer"] for one in kept], len(dropped)) == (["late"], 1)
    assert assign(rows[::-1], PARAMS) == (kept, dropped)


def test_rows_that_are_only_somewhat_alike_all_stay():
    first, second = "the lamp in the hall flickers every evening", "the lamp in the hall was delivered broken"
    assert jaccard(shingles(first), shingles(second)) < PARAMS.contamination_similarity
    assert set(assigned([first, second])[0]) == {first, second}


def alike(held_out: str) -> tuple[str, str]:
    """A text of the split `held_out` and one of training: too alike to be held out from each other, not alike enough to be duplicates."""
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
    another = of_split("train", "the lamp in the hall flickers every evening at about ten past nine and then goes out until the morning")
    assert PARAMS.contamination_similarity <= jaccard(shingles(another), shingles(other)) < PARAMS.near_duplicate_similarity
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


@modest
@given(st.lists(short, max_size=6), st.lists(short, max_size=6), st.sampled_from([0.3, 0.6, 0.9, 1.0]))
def test_pairs_that_are_found_are_really_that_alike_and_equal_texts_are_always_found(texts, others, threshold):
    found = list(similar_pairs(texts, others, threshold))
    assert found == list(similar_pairs(texts, others, threshold))
    assert all(jaccard(shingles(texts[i]), shingles(others[j])) >= threshold for i, j in found)
    assert {(i, j) for i, text in enumerate(texts) for j, other in enumerate(others) if text == other} <= set(found)


@modest
@given(any_text, any_text)
def test_similarity_is_symmetric_and_1_for_equal_texts(one, other):
    a, b = shingles(one), shingles(other)
    assert jaccard(a, b) == jaccard(b, a) and 0 <= jaccard(a, b) <= 1
    assert jaccard(a, a) == 1


# How a row is put


@settings(modest, max_examples=300)
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
    assert format_row({"id": "1", "body": "b", "category": "é", "reply": 'say "x"'}, params)["answer"] == '{"reply": "say \\"x\\"", "category": "é"}'


def test_an_answer_may_be_a_template():
    params = Prepare(system="s", user="{{ body }}", answer="{{ category | upper }}\n")
    assert format_row({"id": "1", "body": "b", "category": "refund"}, params)["answer"] == "REFUND\n"


def test_a_column_that_the_rows_do_not_have_is_named():
    with pytest.raises(AnnealError, match=r"params.yaml: the template '\{\{ bdy \}\}' does not fit row 1: 'bdy' is undefined."):
        format_row({"id": "1", "body": "b"}, Prepare(system="s", user="{{ bdy }}", answer="a"))
    with pytest.raises(AnnealError, match=r"params.yaml: prepare.answer names `intent`, which the rows do not have \(id, body\)."):
        format_row({"id": "1", "body": "b"}, Prepare(system="s", user="{{ body }}", answer=["intent"]))


@pytest.mark.parametrize("template", ["{{ body", "{% for %}", "{{ body | nosuch }}", "{{ body + 1 }}", "{{ 1 / 0 }}", "{{ body.__class__.__mro__ }}", "{{ body | int(base=99) + 'x' }}"])
def test_a_template_that_cannot_be_filled_is_one_sentence(template):
    with pytest.raises(AnnealError, match="does not fit row 7"):
        render(template, {"id": "7", "body": "b"})


def test_a_row_cannot_bring_a_template_of_its_own():
    assert render("{{ body }}", {"id": "1", "body": "{{ 1 + 1 }}"}) == "{{ 1 + 1 }}"
