"""The rows of a cascade: right labels to learn from, those that the classifier tells to be tested on, and none that it
knows.
"""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tasks.dialogues.chat import GIVEN, REST
from tasks.errors import AnnealError
from tasks.files import read_json, read_jsonl, write_jsonl
from tasks.models import labeller
from tasks.stages.cascade import Cascade, cascade
from tests import encoders, tiny, tiny_classifier

pytestmark = pytest.mark.slow  # a classifier is made

PARAMS = Cascade(dataset="toys", model="teller", trained_on="labels")


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A dataset, its labels alone, and a classifier that has learnt nothing."""
    place = tmp_path_factory.mktemp("parts")
    prepared = tiny.write_prepared(place / "toys", 16)
    learnt = tiny_classifier.write_learnt(place / "labels", prepared)
    weights = encoders.make_base(place / "weights")
    return SimpleNamespace(
        prepared=prepared,
        learnt=learnt,
        weights=weights,
        adapter=tiny_classifier.write_heads(place / "heads", weights, learnt),
    )


def made(parts: SimpleNamespace, folder: Path, **other: Path) -> Path:
    paths = {**vars(parts), **other}
    cascade(PARAMS, out=folder / "out", report=folder / "report", **paths)
    return folder / "out"


@pytest.fixture(scope="module")
def out(parts: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(parts, tmp_path_factory.mktemp("made"))


def test_rows_stay_as_they_are_and_their_answers_come_in_two_parts(parts: SimpleNamespace, out: Path) -> None:
    for name in ("train", "validation", "test"):
        rows = read_jsonl(out / f"{name}.jsonl")
        plain = [{key: value for key, value in row.items() if key not in (GIVEN, REST)} for row in rows]
        assert plain == read_jsonl(parts.prepared / f"{name}.jsonl")
        for row in rows:
            assert row[REST] == f' "{row["row"]["reply"]}"}}'
            assert name == "test" or row[GIVEN] + row[REST] == row["answer"]
    assert read_json(out / "format.json") == read_json(parts.prepared / "format.json")


def test_a_test_row_is_behind_what_the_classifier_tells_right_or_wrong(out: Path) -> None:
    rows = read_jsonl(out / "test.jsonl")
    told = [json.loads(row[GIVEN] + row[REST]) for row in rows]
    right = [json.loads(row["answer"]) for row in rows]
    shares = {
        label: sum(a[label] == b[label] for a, b in zip(told, right, strict=True)) / len(rows) for label in tiny.LABELS
    }
    assert min(shares.values()) < 1  # it has learnt nothing
    assert read_json(out.parent / "report/cascade.json") == {"right": shares, "test_rows": len(rows)}
    assert 0 < read_json(out.parent / "report/timing.json")["seconds_per_answer"] < 10
    assert not list(out.glob("**/timing.json"))  # seconds differ from run to run, and what is trained must not


def test_the_folder_of_the_labeller_is_asked_alone_and_says_the_same(out: Path, tmp_path: Path) -> None:
    (out / labeller.FOLDER).rename(tmp_path / "elsewhere")
    try:
        alone = labeller.load(tmp_path / "elsewhere")
        rows = read_jsonl(out / "test.jsonl")
        assert [labeller.predict_beginning(alone, row["messages"]) for row in rows] == [row[GIVEN] for row in rows]
    finally:
        (tmp_path / "elsewhere").rename(out / labeller.FOLDER)


def test_it_reads_what_training_read_and_not_the_system_message(parts: SimpleNamespace, out: Path) -> None:
    teller = labeller.load(out / labeller.FOLDER)
    for ours, its in zip(read_jsonl(out / "test.jsonl"), read_jsonl(parts.learnt / "test.jsonl"), strict=True):
        assert ours["messages"] != its["messages"]
        assert labeller.predict_beginning(teller, ours["messages"]) == labeller.predict_beginning(
            teller, its["messages"]
        )


def planted(folder: Path, parts: SimpleNamespace, split: str, rows: list[dict[str, Any]]) -> Path:
    """The dataset of the classifier with `rows` in a split more."""
    for name in ("train", "validation"):
        more = [{**tiny_classifier.labelled(row), "id": f"other-{row['id']}"} for row in rows if name == split]
        write_jsonl(folder / f"{name}.jsonl", [*read_jsonl(parts.learnt / f"{name}.jsonl"), *more])
    return folder


@pytest.mark.parametrize(("held_out", "learnt"), [("test", "train"), ("test", "validation"), ("validation", "train")])
def test_a_held_out_row_that_the_classifier_knows_is_refused_by_its_text(
    held_out: str, learnt: str, parts: SimpleNamespace, tmp_path: Path
) -> None:
    row = read_jsonl(parts.prepared / f"{held_out}.jsonl")[1]
    turn = row["messages"][-1]
    shouted = {**row, "messages": [{**turn, "content": turn["content"].upper()}]}
    with pytest.raises(AnnealError, match=rf"was trained on {row['id']}, which toys holds out \({held_out}\)"):
        made(parts, tmp_path, learnt=planted(tmp_path / "learnt", parts, learnt, [shouted]))
    assert not (tmp_path / "out").exists()


def test_of_many_only_some_are_named(parts: SimpleNamespace, tmp_path: Path) -> None:
    rows = read_jsonl(parts.prepared / "test.jsonl")
    with pytest.raises(AnnealError, match=rf"{rows[4]['id']} and {len(rows) - 5} more, which"):
        made(parts, tmp_path, learnt=planted(tmp_path / "learnt", parts, "train", rows))
