"""A retest trains on the rows of one dataset and tests on those of another, with its templates and its classifier; a
model that is released as another one builds on it and is tested alike.
"""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.dataset import compared
from tasks.dataset.rows import Prepared
from tasks.dialogues.chat import load_tokenizer
from tasks.errors import AnnealError, ParamsError
from tasks.files import read_json, read_jsonl, write_json, write_jsonl
from tasks.params import Params
from tasks.preflight import objective_fits, retests
from tasks.stages.prepare.shapes.table import format_row
from tasks.stages.prepare.split import split
from tasks.stages.reference import with_mates
from tasks.stages.retest import Retest, behind_labels, retest
from tests import tiny
from tests.tasks.own_params import VALUE, changed

ROW = {"dataset": "pairs", "tested_on": "toys"}


def as_pairs(rows: list[Prepared]) -> list[Prepared]:
    """What the shape `preference` makes of rows that were asked like the toy's."""
    return [
        {
            "id": f"pair-{row['id']}",
            "messages": row["messages"],
            "answer": row["answer"],
            "rejected": "no",
            "row": {"id": f"pair-{row['id']}", "question": row["messages"][-1]["content"], "answer": row["answer"]},
        }
        for row in rows
    ]


def pairs(folder: Path, **rows: list[Prepared]) -> Path:
    """A prepared dataset of pairs."""
    for name in ("train", "validation", "test"):
        write_jsonl(folder / f"{name}.jsonl", as_pairs(rows.get(name, [])))
    write_jsonl(folder / "dropped.jsonl", [{"id": "x", "reason": "blank"}])
    write_json(folder / "format.json", {"system": None, "user": "{{ question }}", "answer": "{{ answer }}"})
    return folder


def made(place: Path, learnt: Path, similarity: float = 1.0) -> tuple[Path, dict]:
    """The retest of `learnt` on the toy dataset in `place`, and its counts."""
    toys = tiny.write_prepared(place / "toys", 16)
    (toys / "labeller").mkdir()
    (toys / "labeller/labeller.json").write_text("{}")
    row = Retest(**ROW, contamination_similarity=similarity)
    retest(row, learnt, toys, place / "out", place / "retest.json")
    return place / "out", read_json(place / "retest.json")


def test_what_is_learnt_is_of_one_dataset_and_what_is_asked_of_the_other(tmp_path: Path) -> None:
    rows = tiny.prepared_rows(60, 9)
    learnt = pairs(tmp_path / "pairs", train=rows[:6], validation=rows[6:8], test=rows[8:])
    folder, counts = made(tmp_path, learnt)
    assert counts == {"train": 6, "validation": 3, "test": 8, "train_too_like_test": 0, "validation_too_like_test": 0}
    assert read_jsonl(folder / "train.jsonl") == as_pairs(rows[:6])
    assert read_jsonl(folder / "validation.jsonl") == as_pairs(rows[6:])  # nothing else reads its test rows
    assert (folder / "dropped.jsonl").read_bytes() == (learnt / "dropped.jsonl").read_bytes()
    for name in ("test.jsonl", "format.json", "labeller/labeller.json"):
        assert (folder / name).read_bytes() == (tmp_path / "toys" / name).read_bytes()


def test_a_row_that_asks_what_is_tested_is_left_out_whatever_the_template_says(tmp_path: Path) -> None:
    test = tiny.prepared_rows(20, 8)
    asked = [format_row({**test[0]["row"], "id": "same", "size": test[0]["row"]["size"].upper()}, tiny.PREPARE)]
    rows = tiny.prepared_rows(60, 9)
    learnt = pairs(tmp_path / "pairs", train=[*asked, *rows[:5]], validation=rows[6:])
    folder, counts = made(tmp_path, learnt)
    assert counts["train_too_like_test"] == 1 and len(read_jsonl(folder / "train.jsonl")) == 5


def test_behind_a_cascade_answers_begin_with_what_its_classifier_tells(tmp_path: Path) -> None:
    rows = as_pairs(tiny.prepared_rows(60, 5))
    labels, reply = rows[0]["answer"].split(', "reply":')
    rows[0]["rejected"] = f'{labels}, "reply": "No."}}'
    rows[1]["rejected"] = '{"colour": "black", "mood": "sad", "reply": "No."}'  # of other labels
    del rows[2]["rejected"]  # as a rated answer
    rows[3]["answer"] = "no JSON"
    tested = {**tiny.prepared_rows(20, 1)[0], "given": '{"colour": "red", "mood": "calm", "reply":', "rest": " x"}
    split = [behind_labels(row, tested) for row in rows]
    assert split[0] == {**rows[0], "given": f'{labels}, "reply":', "rest": reply}
    assert split[1] == rows[1] and split[3] == rows[3] and split[2]["rest"].endswith("}")
    assert behind_labels(rows[0], tiny.prepared_rows(20, 1)[0]) == rows[0]


def test_nothing_left_to_learn_from_is_refused(tmp_path: Path) -> None:
    test = tiny.prepared_rows(20, 8)
    learnt = pairs(tmp_path / "pairs", train=test[:4], validation=tiny.prepared_rows(60, 2))
    with pytest.raises(AnnealError, match="no row of pairs is left for train: 4 are for that, all too similar to"):
        made(tmp_path, learnt)


PREFERENCE = {"ingest": {"source": "pairs"}, "validate": {}, "prepare": {"shape": "preference"}}


def released(dataset: str = "retested", parent: str = "mine", task: str = "mine", **more: object) -> Params:
    """The small project, with a model that learns from pairs and is released as `task`."""
    row = {**VALUE["models"]["mine"], "parent": parent, "dataset": dataset, "released_as": task}
    row["train"] = {"objective": {"kind": "dpo"}, "tuner": {"kind": "lora"}}
    return changed(
        datasets__pairs=PREFERENCE,
        retests__retested={"dataset": "pairs", "tested_on": "tickets"},
        models__preferred=row,
        **more,
    )


SPLITS = {"validation_share": 0.1, "test_share": 0.2, "seed": 7}


@pytest.mark.parametrize(
    ("source", "shares", "is_refused"),
    [
        ("data/harvested/mine/pairs", {"validation_share": 0.1, "test_share": 0.1}, True),
        ("data/harvested/mine/ratings", {"validation_share": 0.05, "test_share": 0.05}, True),
        ("data/harvested/mine/pairs", {"validation_share": 0.1, "test_share": 0.15}, False),
        ("data/harvested/mine/pairs", {"validation_share": 0.1, "test_share": 0.1, "seed": 8}, False),
        ("data/mine.jsonl", {"validation_share": 0.1, "test_share": 0.1}, False),  # other prompts
    ],
)
def test_pairs_from_production_whose_rows_for_validation_are_all_tested_are_refused(
    source: str, shares: dict[str, float], is_refused: bool
) -> None:
    prepare = {"shape": "preference", **SPLITS, **shares}
    params = released(
        datasets__tickets__prepare={**VALUE["datasets"]["tickets"]["prepare"], **SPLITS},
        datasets__pairs__ingest__source=source,
        datasets__pairs__prepare=prepare,
    )
    problems = [*retests.problems(params, "preferred")]
    assert bool(problems) == is_refused and not [*retests.problems(params, "mine")]
    if is_refused:
        assert "pairs.prepare holds back" in problems[0] and "set its test_share to 0.2 too" in problems[0]


@given(st.text(), st.floats(0, 0.4), st.floats(0.01, 0.4), st.floats(0, 0.4))
def test_what_a_smaller_share_holds_back_is_all_tested(text: str, test: float, validation: float, more: float) -> None:
    if split(text, 7, validation, test) != "train":
        assert split(text, 7, 0.1, min(test + validation + more, 0.9)) == "test"


def test_versions_of_a_model_that_is_released_as_another_have_its_name() -> None:
    params = released()
    assert [params.task(name) for name in ("mine", "preferred")] == ["mine", "mine"]
    assert params.sources("retested") == ["tickets", "pairs"] and params.learnt("retested") == ["pairs"]
    assert params.main_dataset("preferred") == "tickets"
    assert not list(objective_fits.problems(params, "preferred"))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"task": "mien"}, "is 'mien', which is not a row of models; did you mean `mine`?"),
        ({"parent": "tiny"}, "is 'mine', which it does not build on; make mine its parent."),
        ({"dataset": "pairs"}, "is tested on other rows; give it a row of retests as its dataset, with `tested_on: "),
        ({"models__mine__released_as": "preferred"}, "models.mine.released_as is 'preferred', which is released as"),
    ],
)
def test_a_model_that_cannot_take_turns_with_the_one_it_is_released_as_is_refused(
    changes: dict[str, str], words: str
) -> None:
    with pytest.raises(ParamsError) as stopped:
        released(**changes)
    assert words in str(stopped.value)


def test_answers_behind_labels_are_compared_from_there_on(base: Path) -> None:
    tokenizer = load_tokenizer(base)
    [tested] = tiny.prepared_rows(20, 1)
    tested = {**tested, "given": '{"colour": "red", "mood": "calm", "reply":', "rest": ""}
    rows = as_pairs(tiny.prepared_rows(60, 3))
    for row in rows:
        row["rejected"] = row["answer"].split(', "reply":')[0] + ', "reply": "No."}'
    row = behind_labels(rows[0], tested)
    encoded = compared.pair(tokenizer, row)
    words = [tokenizer.decode(one["input_ids"][one["prompt_length"] :]) for one in encoded["both"]]
    assert words == [f"{row['rest']}{tokenizer.eos_token}", f' "No."}}{tokenizer.eos_token}']
    assert tokenizer.decode(encoded["input_ids"][: encoded["prompt_length"]]).endswith(row["given"])
    rated: list[Prepared] = [{**behind_labels(each, tested), "rating": True} for each in rows]
    assert {each["mate"] for each in with_mates(rated, rated)} <= {each["rest"] for each in rated}
