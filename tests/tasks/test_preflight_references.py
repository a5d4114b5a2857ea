"""The model that answers are compared with is written out where it is needed, and refused where it cannot be."""

import json
from pathlib import Path

import pytest

from tasks.errors import ParamsError
from tasks.params import check_rows, needed
from tasks.preflight import references
from tasks.preflight.sections import complete
from tests.tasks import own_params

PAIRS = {"ingest": {"source": "x"}, "validate": {}, "prepare": {"shape": "preference"}}
MODEL = own_params.VALUE["models"]["mine"]
DPO, KTO = ({"objective": {"kind": kind}, "tuner": {"kind": "lora"}} for kind in ("dpo", "kto"))
TEXT = """models:
  mine: {parent: base, dataset: pairs, train: {objective: {kind: dpo}, tuner: {kind: lora}}}   # the first
  sharper:
    parent: base
    dataset: pairs
    train: {objective: {kind: dpo, beta: 0.5}, tuner: {kind: lora}}
  next: {parent: mine, dataset: pairs, train: {objective: {kind: dpo}, tuner: {kind: lora}}}
  whole: {parent: base, dataset: pairs, train: {objective: {kind: dpo}, tuner: {kind: full}}}
  small: {parent: base, dataset: pairs, train: {objective: {kind: dpo}, tuner: {kind: qlora}}}
  odds: {parent: base, dataset: pairs, train: {objective: {kind: orpo}, tuner: {kind: lora}}}
"""
ROWS = {
    "pairs_ref": {"dataset": "pairs", "model": "base"},
    "pairs_ref2": {"dataset": "pairs", "model": "mine"},
    "pairs_ref3": {"dataset": "pairs", "model": "base", "bf16": False},
    "pairs_ref4": {"dataset": "pairs", "model": "base", "quantization": "nf4"},
}


def completed(text: str, folder: Path) -> tuple[str, list[str]]:
    """The file afterwards, in which nothing is missing any more, and the lines about references."""
    file = folder / "params.yaml"
    file.write_text(text)
    completion = complete(file)
    completion.write()
    assert complete(file).lines == ()
    return file.read_text(), [line for line in completion.lines if "pairs_ref" in line]


def read(text: str) -> dict:
    from ruamel.yaml import YAML

    return YAML(typ="safe", pure=True).load(text)


def test_each_model_that_needs_one_is_compared_with_its_parent_in_a_row_that_others_share(tmp_path: Path) -> None:
    text, lines = completed(TEXT, tmp_path)
    value = read(text)
    assert value["references"] == ROWS
    datasets = {name: row["dataset"] for name, row in value["models"].items()}
    assert datasets == {
        **dict.fromkeys(("mine", "sharper"), "pairs_ref"),
        "next": "pairs_ref2",
        "whole": "pairs_ref3",
        "small": "pairs_ref4",
        "odds": "pairs",
    }
    assert "   # the first\n" in text
    assert any(
        "wrote `dataset: pairs_ref` in models.mine, because dpo compares with a reference" in line for line in lines
    )
    assert any("`pairs_ref2: {dataset: pairs, model: mine}`" in line for line in lines)


def test_json_stays_json(tmp_path: Path) -> None:
    text, _ = completed(json.dumps(read(TEXT)), tmp_path)
    assert json.loads(text)["references"] == ROWS


@pytest.mark.parametrize("table", ["references: {}\n", "references:\n  other: {dataset: pairs, model: mine}  # mine\n"])
def test_a_table_that_is_there_is_used(table: str, tmp_path: Path) -> None:
    value = read(completed(TEXT + table, tmp_path)[0])
    rows = value["references"]
    assert rows[value["models"]["mine"]["dataset"]] == ROWS["pairs_ref"]
    assert value["models"]["next"]["dataset"] == ("other" if "other" in table else "pairs_ref2")
    assert len(rows) == 4


@pytest.mark.parametrize(
    "tables",
    [
        "references: {pairs: {dataset: raw, model: base}}\n",
        "references: {r: {dataset: raw, model: base}}\nretests: {pairs: {dataset: r, tested_on: chats}}\n",
    ],
)
def test_what_has_a_reference_is_left_alone(tables: str, tmp_path: Path) -> None:
    text, lines = completed(TEXT + tables, tmp_path)
    assert lines == [] and all(row["dataset"] == "pairs" for row in read(text)["models"].values())


def test_a_name_that_is_taken_is_left_to_its_row(tmp_path: Path) -> None:
    value = read(completed(TEXT + "datasets: {pairs_ref: {ingest: {source: x}}}\n", tmp_path)[0])
    assert value["models"]["mine"]["dataset"] == "pairs_ref2"


def test_a_dataset_that_is_written_once_for_several_models_is_left_to_the_check(tmp_path: Path) -> None:
    text = TEXT.replace("dataset: pairs,", "dataset: &d pairs,", 1)
    value = read(completed(text, tmp_path)[0])
    assert value["models"]["mine"]["dataset"] == "pairs"


def params(**changes: object):
    tables = {"datasets__pairs": PAIRS, "models__mine": {**MODEL, "dataset": "compared", "train": DPO}}
    rows = {"references": {"compared": {"dataset": "pairs", "model": MODEL["parent"]}}}
    return own_params.changed(**{**tables, **rows, **changes})


def test_rows_that_fit_are_accepted_and_the_reference_is_trained_first() -> None:
    assert list(references.problems(params(), "mine")) == []
    other = {**MODEL, "train": {**MODEL["train"], "tuner": {"kind": "lora"}}}
    made = params(models__first=other, references={"compared": {"dataset": "pairs", "model": "first"}})
    check_rows(made)
    assert needed(made, ["mine"]) == ["first", "mine"] and list(references.problems(made, "mine")) == []


REFUSED = {
    "nothing": (
        {"models__mine__dataset": "pairs"},
        "nothing says which; write `references: {pairs_ref: {dataset: pairs",
    ),
    "shape": (
        {"references__compared__dataset": MODEL["dataset"]},
        "have no answers to compare; use a dataset of the shape",
    ),
    "merge": (
        {
            "models__soft": {**MODEL, "train": {"objective": {"kind": "sft"}, "tuner": {"kind": "prompt"}}},
            "references__compared__model": "soft",
        },
        "what its tuner, prompt, learns cannot be merged",
    ),
    "tokens": (
        {"bases__other": own_params.VALUE["bases"][MODEL["parent"]], "references__compared__model": "other"},
        "references.compared.model is other, which is built on other, and models.mine on",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_reference_that_cannot_be_is_refused_in_one_sentence(kind: str) -> None:
    changes, words = REFUSED[kind]
    found = list(references.problems(params(**changes), "mine"))
    assert len(found) == 1 and words in found[0] and found[0].endswith(".")


WRONG = {
    "no model": ({"references__compared__model": "mime"}, "references.compared.model is 'mime', which is not a row of"),
    "no dataset": (
        {"references__compared__dataset": "pear"},
        "references.compared.dataset is 'pear', which is not a row",
    ),
    "two rows": (
        {"references": {"pairs": {"dataset": "pairs", "model": "mine"}}},
        "`pairs` is both a reference and another",
    ),
    "a cycle": ({"references__compared__model": "mine"}, "these rows build on each other in a cycle"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_names_and_cycles_are_refused_as_those_of_mixes(kind: str) -> None:
    changes, words = WRONG[kind]
    with pytest.raises(ParamsError, match=words):
        check_rows(params(**changes))


def test_another_precision_than_the_training_gets_a_remark() -> None:
    assert list(references.remarks(params(), "mine")) == []
    (line,) = references.remarks(params(references__compared__bf16=False), "mine")
    assert "references.compared.bf16 is false, and models.mine.train.bf16 true" in line
