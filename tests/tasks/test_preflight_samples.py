"""What does not fit in `samples` and `rankings` is refused before any work, in one sentence."""

import copy
from pathlib import Path
from typing import Any

import pytest

from tasks.errors import ParamsError
from tasks.files import read_json, write_jsonl
from tasks.params import needed
from tasks.preflight import checks, samples, sections, suites
from tests.tasks import own_params

PAIRS = {
    "ingest": {"source": "data/ranked/better"},
    "validate": {},
    "prepare": {"shape": "preference", "seed": 43},
}
LEARNER = {
    **own_params.VALUE["models"]["mine"],
    "parent": "mine",
    "dataset": "pairs",
    "train": {"objective": {"kind": "dpo"}, "tuner": {"kind": "lora"}},
}


@pytest.fixture(autouse=True)
def _rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    own_params.write_rows(own_params.ROWS)


def made(**changes: Any) -> dict[str, Any]:
    return {
        "rubrics": {"scored": {"dataset": "tickets", "rewards": [{"kind": "valid"}]}},
        "samples": {"drawn": {"model": "mine", "dataset": "scored", "split": "train"}},
        "rankings": {"better": {"samples": "drawn", "kind": "rubric", "by": "data/prepared/scored"}},
        "datasets__pairs": copy.deepcopy(PAIRS),
        "models__better_mine": copy.deepcopy(LEARNER),
        **changes,
    }


def words(**changes: Any) -> str:
    """The first problem, but not of dpo, which has preflights of its own."""
    params = own_params.changed(**made(**changes))
    return next(samples.problems(params, [], everything=True), "")


def test_what_fits_passes_before_there_is_any_pair() -> None:
    params = own_params.changed(**made())
    assert list(samples.problems(params, ["better_mine"])) == []
    assert needed(params, ["better_mine"]) == ["mine", "better_mine"]
    assert not [problem for problem in checks.problems(params, ["better_mine"]) if "reference" not in problem]
    assert checks.datasets_of(params, "better_mine") == ["tickets", "pairs"]


def test_a_model_that_answers_needs_not_be_the_parent() -> None:
    params = own_params.changed(**made(models__better_mine={**LEARNER, "parent": "tiny"}))
    assert needed(params, ["better_mine"]) == ["mine", "better_mine"]


def test_suites_of_pairs_that_are_still_to_be_made_hold_any_text() -> None:
    params = own_params.changed(**made())
    suites.write_missing(params, ["pairs"])
    rules = read_json(Path("data/expectations/pairs/raw.json"))["expectations"]
    assert {rule["kwargs"].get("column") for rule in rules} == {None, "prompt", "chosen", "rejected"}
    assert not any("length" in rule["type"] or "in_set" in rule["type"] for rule in rules)


FILE = """bases: {tiny: {folder: tiny, sha256: "0"}}
datasets:
  tickets: {ingest: {source: mine.csv}, validate: {}, prepare: {shape: table, user: "{{ body }}", answer: [reply]}}
  pairs:
    ingest: {source: data/ranked/better}
samples: {drawn: {model: tiny, dataset: tickets, split: train}}
rankings:
  better: {samples: drawn, kind: rubric}
  judged: {samples: drawn, kind: verdicts}
  own: {samples: drawn, kind: rubric, by: data/prepared/scored}
models: {}
"""


def test_what_dvc_must_find_is_written() -> None:
    Path("params.yaml").write_text(FILE)
    completion = sections.complete()
    assert "  better: {samples: drawn, kind: rubric, by: data/prepared/tickets}\n" in completion.text
    assert "  judged: {samples: drawn, kind: verdicts, by: data/verdicts/judged}\n" in completion.text
    assert "  own: {samples: drawn, kind: rubric, by: data/prepared/scored}\n" in completion.text
    assert "prepare: {shape: preference, seed: 43}" in completion.text and not completion.undecided
    assert any("`by: data/prepared/tickets` in rankings.better" in line for line in completion.lines)


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("samples__drawn__model", "mien", "samples.drawn.model is 'mien', which is not a row of bases or models; did"),
        ("samples__drawn__dataset", "tickts", "samples.drawn.dataset is 'tickts', which is not a row of datasets; did"),
        ("rankings__better__samples", "dawn", "rankings.better.samples is 'dawn', which is not a row of samples; did"),
        ("datasets__pairs__ingest__source", "data/ranked/beter", "'beter' is not a row of rankings; did you mean `bet"),
        ("rankings__better__kind", "rubrik", "rankings.better.kind is 'rubrik'; did you mean `rubric`?"),
        ("samples__drawn__temperatures", [0.0], "give 4 of the 4 answers temperature 0, at which all are the same"),
        ("samples__drawn__dataset", "pairs", "these rows build on each other in a cycle: "),
        ("samples__drawn__model", "better_mine", "these rows build on each other in a cycle: "),
    ],
)
def test_names_and_cycles_are_refused(key: str, value: object, sentence: str) -> None:
    with pytest.raises(ParamsError) as refused:
        own_params.changed(**made(**{key: value}))
    assert sentence in str(refused.value) and str(refused.value).count("\n") == 0


def test_a_name_of_two_rows_is_refused() -> None:
    with pytest.raises(ParamsError, match="`tickets` is both a row of samples and another row"):
        own_params.changed(**made(samples__tickets={"model": "mine", "dataset": "scored", "split": "train"}))
    with pytest.raises(ParamsError, match="`drawn` is both a"):
        own_params.changed(**made(rankings__drawn={"samples": "drawn", "kind": "verdicts", "by": "a"}))


def test_more_rows_than_there_are_are_refused() -> None:
    assert words(samples__drawn__rows=5) == (
        "samples.drawn.rows is 5, and scored has 4 rows in all splits together; lower it, or leave it out for all of "
        "the split."
    )
    assert words(samples__drawn__rows=4) == ""


def test_a_model_that_does_not_write_or_cannot_be_merged_is_refused() -> None:
    assert words(models__mine__train={"objective": {"kind": "sft"}, "tuner": {"kind": "prefix"}}) == (
        "samples.drawn.model is mine, and what its tuner, prefix, learns cannot be merged, so there are no weights to "
        "sample from; name another model."
    )
    assert words(models__mine__train={"objective": {"kind": "classify"}, "tuner": {"kind": "full"}}).startswith(
        "samples.drawn.model is mine, whose objective, classify, reads and does not write;"
    )


def test_a_reward_model_ranks_without_a_rubric() -> None:
    scorer = {"train": {"objective": {"kind": "reward"}, "tuner": {"kind": "lora"}}}
    changed = {
        "models__liked": {**own_params.VALUE["models"]["mine"], **scorer},
        "reward_models": {"rewarded": {"dataset": "tickets", "model": "liked"}},
        "rankings__better__by": "data/prepared/rewarded",
    }
    assert words(**changed) == ""


def test_rows_that_are_no_prompts_are_refused() -> None:
    changed = {"datasets__tickets__prepare": {"shape": "text", "text": "body"}}
    assert words(**changed).startswith(
        "samples.drawn.dataset is scored, and the rows of datasets.tickets are of the shape text: no prompts that"
    )


def test_what_ranks_must_be_a_rubric_of_the_same_dataset() -> None:
    assert words(rankings__better__by="data/prepared/scord").startswith(
        "rankings.better.by is 'data/prepared/scord', which is not the folder of a row of rubrics or reward_models "
        "(data/prepared/ROW); did you mean `scored`?"
    )
    assert words(rankings__better__by="data/prepared/tickets").startswith(
        "rankings.better.by is 'data/prepared/tickets', which is not the folder of a row of rubrics"
    )
    other = {**own_params.VALUE["datasets"]["tickets"], "ingest": {"source": "mine.csv", "license": "mit"}}
    changed = {
        "datasets__others": other,
        "rubrics__others_scored": {"dataset": "others", "rewards": [{"kind": "valid"}]},
        "rankings__better__by": "data/prepared/others_scored",
    }
    assert words(**changed) == (
        "rankings.better.by is 'data/prepared/others_scored', which is made of others, and the samples are of tickets; "
        "rank answers by the rubric of their own dataset."
    )


def test_verdicts_must_be_there() -> None:
    changed = {"rankings__better": {"samples": "drawn", "kind": "verdicts", "by": "data/verdicts/better"}}
    assert words(**changed) == (
        "rankings.better.by is data/verdicts/better, which holds no verdicts: run `make judge RANKING=better`, or "
        "`make sheet RANKING=better` and, when people have filled it in, `make sheet-in`."
    )
    write_jsonl(Path("data/verdicts/better/model-a.jsonl"), [])
    assert words(**changed) == ""


def test_the_seed_of_pairs_is_not_that_of_the_questions() -> None:
    assert words(datasets__pairs__prepare={"shape": "preference", "seed": 42}) == (
        "datasets.pairs.prepare.seed is 42, as that of tickets, whose train rows were sampled: all pairs would be in "
        "that split again; write another seed."
    )
