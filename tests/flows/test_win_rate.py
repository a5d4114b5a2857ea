"""`make win-rate` on a small project: a model against one of fewer steps, itself and its base, by a rubric."""

from pathlib import Path

import pytest

from tasks.files import read_json, read_jsonl
from tests.flows import project

pytestmark = pytest.mark.slow  # each test starts processes that train

RUBRIC = {
    "dataset": "toys",
    "rewards": [{"kind": "valid"}, {"kind": "labels", "columns": ["colour", "mood"], "weight": 2.0}],
    "held_out": [{"kind": "length", "column": "reply", "max": 12}],
}


@pytest.fixture(scope="module")
def place(untouched: Path) -> Path:
    """The project with a rubric and a second model, which has hardly been trained."""
    import json

    params = json.loads((untouched / "params.yaml").read_text())
    things = params["models"]["things"]
    hasty = {**things, "train": {**things["train"], "num_train_epochs": 0.5}}
    project.change(
        untouched,
        rubrics={"good": RUBRIC},
        samples={"drawn": {"model": "things", "dataset": "toys", "split": "test", "answers": 2, "max_new_tokens": 40}},
        models={"things": things, "hasty": hasty},
    )
    return untouched


def result_of(place: Path, against: str) -> dict:
    return read_json(place / f"reports/things/win_rate/{against}/rubric-good/win_rate.json")["result"]


@pytest.mark.minutes
def test_the_trained_model_wins_over_the_hasty_one_and_all_is_made_once(place: Path) -> None:
    printed = project.run(place, "flows.win_rate", "things", "hasty", "--rows", "20")
    of, folder = result_of(place, "hasty"), place / "reports/things/win_rate/hasty/rubric-good"
    assert of["prompts"] == 20 and of["rate"]["value"] > 0.8 and of["rate"]["p"] < 0.05
    assert "things is better than hasty." in printed and "by the rubric good" in printed
    assert [(part["name"], part["weight"]) for part in of["parts"]] == [
        ("valid", 1.0),
        ("labels", 2.0),
        ("length", None),
    ]
    assert of["model"]["kl"].keys() == {"tiny", "hasty"} and of["against"]["kl"].keys() == {"tiny"}
    assert of["model"]["kl"]["tiny"]["value"] > of["against"]["kl"]["tiny"]["value"] > 0  # fewer steps, less far away
    verdicts = read_jsonl(folder / "verdicts.jsonl")
    assert len(verdicts) == 20 and {each["share"] for each in verdicts} <= {0.0, 0.5, 1.0}
    page = (folder / "index.html").read_text()
    assert "things is better than hasty" in page and "http" not in page.replace("http-equiv", "")
    made = {file: file.stat().st_mtime_ns for file in (place / "reports").rglob("*")}
    again = project.run(place, "flows.win_rate", "things", "hasty", "--rows", "20")
    assert again[again.index("\nthings is") :] == printed[printed.index("\nthings is") :]
    assert {file: file.stat().st_mtime_ns for file in (place / "reports").rglob("*")} == made


def test_against_itself_it_ties(place: Path) -> None:
    printed = project.run(place, "flows.win_rate", "things", "things")
    of = result_of(place, "things")
    assert (of["rate"]["value"], of["rate"]["p"], of["controlled"]["value"]) == (0.5, 1.0, 0.5)
    assert of["same_answers"] == of["prompts"] == of["rate"]["ties"]
    assert "It is not shown that things is better or worse than things." in printed


def test_against_its_base(place: Path) -> None:
    project.run(place, "flows.win_rate", "things", "tiny", "--rows", "8")
    of = result_of(place, "tiny")
    assert of["rate"]["value"] > 0.8 and of["model"]["kl"].keys() == {"tiny"} and of["against"]["kl"] == {}
    assert len(read_jsonl(place / "reports/tiny/asked/toys/predictions.jsonl")) == 8


@pytest.mark.minutes
def test_sampled_answers_are_judged_apart_and_people_get_a_sheet(place: Path) -> None:
    words = ("things", "hasty", "--rows", "6", "--temperature", "1")
    project.run(place, "flows.win_rate", *words)
    drawn = read_json(place / "reports/things/win_rate/hasty/rubric-good-t1/win_rate.json")["result"]
    assert drawn["prompts"] == 6 and drawn["model"]["kl"]["hasty"]["value"] > 0
    printed = project.run(place, "flows.win_rate", *words, "--by", "people", status=1)
    assert "error: nobody has read these answers yet: data/sheets/win-rate-things-hasty.csv has 6 comp" in printed
    assert (place / "data/sheets/win-rate-things-hasty.csv").exists()


@pytest.mark.minutes
def test_rows_say_how_often_sampled_answers_were_right(place: Path) -> None:
    printed = project.run(place, "flows.judge", "confidence", "drawn", "--about", "colour,mood")
    rows = read_jsonl(place / "data/confidence/drawn/rows.jsonl")
    assert f"{len(rows)} rows, " in printed and "is surer" not in printed
    assert {row["confidence"] for row in rows} <= {"low", "medium", "high"} and "thing" in rows[0]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("things", "hastty"), "AGAINST=hastty: params.yaml has no such model or base; did you mean `hasty`?"),
        (("thing", "hasty"), "MODEL=thing: params.yaml has no such model; did you mean `things`?"),
        (("things", "hasty", "--by", "rubrik"), "BY=rubrik is not a kind of judge; did you mean `rubric`?"),
        (("things", "hasty", "--with", "god"), "WITH=god: params.yaml has no such rubric; did you mean `good`?"),
        (("things", "hasty", "--on", "toy"), "params.yaml has no dataset `toy`; did you mean `toys`?"),
    ],
)
def test_what_is_not_there_is_one_sentence(place: Path, words: tuple[str, ...], sentence: str) -> None:
    printed = project.run(place, "flows.win_rate", *words, status=2)
    assert f"error: {sentence}" in printed and "Traceback" not in printed
