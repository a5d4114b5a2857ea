"""What a linear classifier tells of the labels in seconds, and the most common class of each, as contestants."""

import json
from pathlib import Path

import numpy as np
import pytest

from tasks.comparison import linear
from tasks.errors import AnnealError
from tasks.files import read_json, read_jsonl, write_json, write_jsonl
from tasks.models import logistic
from tasks.stages.evaluate.__main__ import evaluate
from tasks.stages.evaluate.params import Evaluate
from tasks.stages.probe import Probe, probe

COLOURS = {"red": "warm", "blue": "cold", "green": "mild"}
WRITES = {"architectures": ["LlamaForCausalLM"], "model_type": "llama"}


def row(i: int) -> dict:
    """A ticket that speaks of its colour; half of all are red."""
    colour = ("red", "blue", "red", "green")[i % 4]
    answer = {"colour": colour, "reply": f"Number {i} it is."}
    text = f"The {COLOURS[colour]} one, number {i}"
    messages = [{"role": "system", "content": "Sort."}, {"role": "user", "content": text}]
    return {"id": f"r{i}", "messages": messages, "answer": json.dumps(answer), "row": {**answer, "text": text}}


def answered(rows: list[dict], right: int) -> list[dict]:
    """Predictions, of which the first `right` are right."""
    told = [each["answer"] if i < right else "?" for i, each in enumerate(rows)]
    return [{**each, "text": text, "nll": 1.0, "tokens": 4} for each, text in zip(rows, told, strict=True)]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A dataset and a base that writes, in a folder; and the reports of parent, tuned, probe and commonest class."""
    write_jsonl(tmp_path / "prepared/train.jsonl", [row(i) for i in range(48)])
    write_jsonl(tmp_path / "prepared/test.jsonl", rows := [row(i) for i in range(48, 64)])
    write_json(
        tmp_path / "prepared/format.json", {"system": "Sort.", "user": "{{ text }}", "answer": ["colour", "reply"]}
    )
    write_json(tmp_path / "base/config.json", WRITES)
    write_jsonl(tmp_path / "reports/baseline/predictions.jsonl", answered(rows, 0))
    write_jsonl(tmp_path / "reports/predict/predictions.jsonl", answered(rows, 12))
    run(tmp_path, "reports")
    return tmp_path


def run(place: Path, out: str) -> None:
    probe(Probe(), place / "base", place / "prepared", place / out / "probe", place / out / "commonest")


def test_the_labels_of_an_answer_are_told_and_its_texts_are_not(place: Path) -> None:
    told, right = read_jsonl(place / "reports/probe/predictions.jsonl"), read_jsonl(place / "prepared/test.jsonl")
    assert [(each["id"], each["answer"]) for each in told] == [(each["id"], each["answer"]) for each in right]
    for each in told:
        assert json.loads(each["text"]) == {"colour": each["row"]["colour"]} and each["told"] == ["colour"]
        chances = each["probabilities"]["colour"]
        assert sum(chances.values()) == pytest.approx(1, abs=1e-4) and set(chances) == set(COLOURS)
    timing = read_json(place / "reports/probe/timing.json")
    assert timing["seconds_per_answer"] > 0 and timing["seconds_to_fit"] > 0 and "reason" not in timing


def test_the_commonest_class_is_that_of_training(place: Path) -> None:
    told = read_jsonl(place / "reports/commonest/predictions.jsonl")
    assert {each["text"] for each in told} == {'{"colour": "red"}'}
    assert told[0]["probabilities"] == {"colour": {"blue": 0.25, "green": 0.25, "red": 0.5}}


def test_the_same_rows_give_the_same_bytes(place: Path) -> None:
    run(place, "again")
    for who in ("probe", "commonest"):
        first, second = (place / part / who / "predictions.jsonl" for part in ("reports", "again"))
        assert first.read_bytes() == second.read_bytes()


def test_each_contestant_is_measured_in_what_it_tells_and_in_nothing_else(place: Path) -> None:
    evaluate(Evaluate(labels=["colour"], bootstrap_resamples=100), place / "prepared", place / "reports", place / "out")
    metrics, intervals, facts = (read_json(place / f"out/{name}.json") for name in ("metrics", "intervals", "measures"))
    assert set(metrics) == {"rows", "parent", "tuned", "probe", "commonest"}
    accuracy = {who: metrics[who]["colour_accuracy"] for who in metrics if who != "rows"}
    assert accuracy == {"parent": 0, "tuned": 0.75, "probe": 1, "commonest": 0.5}
    for who in ("probe", "commonest"):
        assert set(metrics[who]) == set(intervals[who])
        assert set(metrics[who]) == {f"colour_{name}" for name in ("accuracy", "macro_f1", "micro_f1", "mcc")}
    assert {"valid", "perplexity", "reply_rouge_l"} < set(metrics["tuned"]) == set(metrics["parent"])
    assert set(facts["measures"]) == set(metrics["tuned"])


def test_answers_to_other_rows_are_refused_by_name(place: Path) -> None:
    told = read_jsonl(place / "reports/probe/predictions.jsonl")
    write_jsonl(place / "reports/probe/predictions.jsonl", told[::-1])
    with pytest.raises(AnnealError, match="the probe's answers are for other rows than the tuned model's"):
        evaluate(Evaluate(labels=["colour"]), place / "prepared", place / "reports", place / "out")


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ({"answer": "{{ reply }}"}, "no column of the answers holds labels"),
        ({"answer": None, "example": "text"}, "the answers are not labels"),
        ({"answer": "{{ reply }}", "tools": True}, "the answers are not labels"),
    ],
)
def test_where_nothing_can_be_told_there_is_no_row_and_the_reason(spec: dict, why: str, place: Path) -> None:
    for split in ("train", "test"):
        file = place / f"prepared/{split}.jsonl"
        write_jsonl(file, [{**each, "answer": each["row"]["reply"]} for each in read_jsonl(file)])
    write_json(place / "prepared/format.json", {"system": None, "user": "{{ text }}", **spec})
    run(place, "reports")
    for who in ("probe", "commonest"):
        assert read_jsonl(place / "reports" / who / "predictions.jsonl") == []
        assert read_json(place / "reports" / who / "timing.json") == {"seconds_per_answer": 0.0, "reason": why}


@pytest.mark.parametrize("has_encoder", [True, False])
def test_few_rows_turned_and_many_rows_reduced_tell_the_same_classes(
    has_encoder: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    known, asked = ([f"{text} {i}" for i in range(20) for text in COLOURS.values()] for _ in range(2))
    labels, chance = list(COLOURS) * 20, np.random.default_rng(0)
    embedded = tuple(chance.normal(size=(60, 8)).astype(np.float32) for _ in range(2)) if has_encoder else None
    for few in (linear.FEW, 10):
        monkeypatch.setattr(linear, "FEW", few)
        features, theirs = linear.features(known, asked, embedded)
        told = linear.chances(logistic.fit(features, labels), theirs)
        assert [max(each, key=each.get) for each in told] == labels
