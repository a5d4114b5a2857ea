"""prepare on labelled rows: what is no label is refused before any training, what looks like a slip is said and
counted.
"""

from pathlib import Path

import pytest

from tasks.errors import AnnealError
from tasks.files import read_json
from tasks.stages.prepare.shapes import labelled
from tasks.stages.prepare.shapes.labelled import Params
from tests.tasks.preparing import SPLITS, bodies, run

PARAMS = Params(shape="labelled", user="{{ text }}", labels=["topic"], validation_share=0.2, test_share=0.3, seed=1)
TEXTS = bodies(60)


def rows(*topics: str) -> list[dict]:
    """60 rows with `topics`, the last one to the end."""
    return [
        {"id": f"r{i}", "text": text, "topic": topics[min(i, len(topics) - 1)], "other": "same"}
        for i, text in enumerate(TEXTS)
    ]


def made(folder: Path, given: list[dict], params: Params = PARAMS) -> dict[str, list[dict]]:
    return run(folder, given, params, suite=[])


def test_one_class_only_is_refused(tmp_path: Path) -> None:
    given = rows(*["a", "b"] * 30)
    with pytest.raises(AnnealError, match=r"^prepare: all \d+ training rows have the class 'same' in `other`, so "):
        made(tmp_path, given, PARAMS.model_copy(update={"labels": ["topic", "other"]}))
    assert not (tmp_path / "out").exists()


def test_a_column_that_is_nearly_unique_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AnnealError, match=r"`topic` has \d+ classes in \d+ training rows \('case \d+', .*, …\), and"):
        made(tmp_path, rows(*(f"case {i}" for i in range(60))))
    with pytest.raises(
        AnnealError, match=r"its values; to learn numbers, write shape: scored and numbers: \[topic\]\.$"
    ):
        made(tmp_path, rows(*(f"{i / 4}" for i in range(60))))


def test_classes_of_a_single_row_are_said_and_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    splits = made(tmp_path, rows("rare", "odd", *["a", "b"] * 29))
    said = capsys.readouterr().err
    assert "prepare: `topic` has 2 classes of a single row ('odd', 'rare'), which can be in one split only: " in said
    report = read_json(tmp_path / "report.json")
    assert report["classes"] == {"topic": {"classes": 4, "of_a_single_row": 2, "alike": 0}}
    assert sum(len(splits[name]) for name in (*SPLITS, "dropped")) == 60


def test_a_held_out_row_of_a_class_that_training_never_saw_is_set_aside_and_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    held_out = [row["id"] for row in made(tmp_path / "first", rows(*["a", "b"] * 30))["test"]]
    given = [{**row, "topic": "new" if row["id"] in held_out[:2] else row["topic"]} for row in rows(*["a", "b"] * 30)]
    splits = made(tmp_path / "second", given)
    report = read_json(tmp_path / "second/report.json")
    assert report["dropped_for"]["unseen_class"] == 2 == len(splits["dropped"])
    words = "`topic` is 'new' in the test split and in no row of training"
    assert splits["dropped"][0]["reason"] == words and words in report["examples"]["unseen_class"]
    assert "left out 2 held-out rows of a class" in capsys.readouterr().err
    assert "new" not in read_json(tmp_path / "second/out/format.json")["classes"]["topic"]


def test_classes_that_differ_in_case_only_are_said_and_not_merged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made(tmp_path, rows(*["billing", "Billing", "other"] * 20))
    assert (
        "prepare: `topic` has classes that differ in case or blanks only: 'Billing' (20), 'billing' (20); they are "
        "learnt as 2 classes, so write them alike where they are one\n"
    ) in capsys.readouterr().err
    assert read_json(tmp_path / "report.json")["classes"]["topic"]["alike"] == 2
    assert {"billing", "Billing"} <= read_json(tmp_path / "out/format.json")["classes"]["topic"].keys()


def test_numbers_as_labels_are_texts(tmp_path: Path) -> None:
    splits = made(tmp_path, rows(*["1", "0", "01"] * 20))
    assert {row["answer"] for row in splits["train"]} == {'{"topic": "1"}', '{"topic": "0"}', '{"topic": "01"}'}


NEWS = {"1": "World", "2": "Sports"}


def named(**names: object) -> Params:
    return Params(**{**PARAMS.model_dump(), **names})


@pytest.mark.parametrize("names", [{1: "World", "2": "Sports"}, {"topic": {1: "World", 2: "Sports"}}])
def test_classes_get_their_names_and_corrections_their_numbers(names: dict, tmp_path: Path) -> None:
    params = named(class_names=names)
    splits = made(tmp_path, rows(*["1", " 2"] * 30), params)
    assert {row["answer"] for row in splits["train"]} == {'{"topic": "World"}', '{"topic": "Sports"}'}
    assert read_json(tmp_path / "out/format.json")["classes"]["topic"].keys() == {"World", "Sports"}
    corrected = {"id": "1", "text": "a", "topic": "Sports"}
    assert labelled.source_row(corrected, params) == {**corrected, "topic": "2"}


def test_codes_that_are_called_alike_are_one_class(tmp_path: Path) -> None:
    params = named(class_names={"1": "bad", "2": "bad", "3": "good"})
    splits = made(tmp_path, rows(*["1", "2", "3"] * 20), params)
    assert {row["answer"] for row in splits["train"]} == {'{"topic": "bad"}', '{"topic": "good"}'}
    assert labelled.source_row({"topic": "bad"}, params) == {"topic": "1"}


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (
            {"1": "World"},
            "row r[0-9]+: `topic` is '2', and prepare.class_names has no name for that [(]1[)]; add it, or",
        ),
        (
            {**NEWS, "5": "Weather"},
            "prepare: class_names names '5' of `topic` [(]'Weather'[)], and no row has that [(]'1', '2'[)]; correct it",
        ),
    ],
)
def test_a_class_without_a_name_and_a_name_without_a_class_are_refused(names: dict, words: str, tmp_path: Path) -> None:
    with pytest.raises(AnnealError, match=f"^{words}"):
        made(tmp_path, rows(*["1", "2"] * 30), named(class_names=names))


@pytest.mark.parametrize(
    ("labels", "names", "words"),
    [
        (["topic", "other"], NEWS, "class_names names classes of one label, and there are 2; write {topic: {…}}"),
        (["other"], {"topic": NEWS}, "class_names names `topic`, which is not one of labels (other)"),
    ],
)
def test_names_are_of_the_labels(labels: list[str], names: dict, words: str) -> None:
    with pytest.raises(ValueError) as refused:
        named(labels=labels, class_names=names)
    assert words in str(refused.value)


def test_classes_that_are_numbers_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made(tmp_path, rows(*["1", "2", "3"] * 20))
    assert (
        "prepare: `topic` has the classes '1', '2', '3', and answers say these numbers, unless prepare.class_names "
        "names them ({1: …}); for a scale, shape: scored learns the order\n"
    ) in capsys.readouterr().err
