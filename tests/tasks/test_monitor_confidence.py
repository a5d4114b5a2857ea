"""The monitor of a version that tells classes: how sure it is, and how probable what people correct it to was."""

import json
import random
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import Engine, insert

from tasks.files import read_json, read_jsonl, write_json, write_jsonl
from tasks.monitor import check_page, confidence, evidently_page
from tasks.monitor.check import check
from tasks.monitor.params import Monitor
from tasks.monitor.reference import read_reference
from tasks.monitor.scores import Scores
from tasks.records import database
from tasks.records.database import requests
from tasks.serve.routes import Target
from tests.tasks.monitored import ARTIFACT, HOUR, KINDS, START, correct, ticket, vectors, version


def told(kind: str, dice: random.Random, sure: float) -> dict:
    """The probabilities of an answer that says `kind`, the likeliest of about `sure`."""
    share = min(0.99, max(0.4, dice.gauss(sure, 0.05)))
    return {"kind": {name: share if name == kind else (1 - share) / (len(KINDS) - 1) for name in sorted(KINDS)}}


@pytest.fixture
def target(tmp_path: Path) -> Target:
    """A version that was sure in its evaluation, and mostly right."""
    made, dice = version(tmp_path / "kept"), random.Random(3)
    folder = Path(made.folder)
    rows = read_jsonl(folder / "reference/predictions.jsonl")
    for row in rows:
        kind = json.loads(row["text"])["kind"]
        row |= {"text": json.dumps({"kind": kind}), "answer": json.dumps({"kind": row["row"]["kind"]})}
        row["probabilities"] = told(kind, dice, 0.9)
    write_jsonl(folder / "reference/predictions.jsonl", rows)
    form = {"system": None, "user": "{{ text }}", "answer": ["kind"], "example": "labelled"}
    write_json(folder / "format.json", form)
    return made


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """An empty database; Evidently and the plot, which take most of the time, stay out."""
    monkeypatch.setattr(evidently_page, "write", lambda *_: None)
    monkeypatch.setattr(check_page, "plot", lambda *_: "")
    return database.connect(f"sqlite:///{tmp_path / 'records.db'}")


def ask(engine: Engine, count: int, at: float, sure: float, prefix: str = "q") -> tuple[list[str], list[dict]]:
    """Log answers that are as often right as the evaluation's."""
    dice = random.Random(prefix)
    rows = [ticket(dice) for _ in range(count)]
    same = {"task": "sort", "version": "1", "artifact": ARTIFACT, "role": "champion", "status": 200, "valid": True}
    logged = []
    for i, row in enumerate(rows):
        kind = row["kind"] if dice.random() < 0.93 else dice.choice(sorted(KINDS))
        answered = {"output": json.dumps({"kind": kind}), "probabilities": told(kind, dice, sure)}
        logged.append({**same, **answered, "id": f"{prefix}{i}", "at": at + i, "input": {"text": row["text"]}})
    with engine.begin() as connection:
        connection.execute(insert(requests), logged)
    return [row["id"] for row in logged], rows


def checked(engine: Engine, target: Target, tmp_path: Path, now: float) -> object:
    return check(engine, "sort", target, Monitor(), now, vectors, tmp_path / "home", tmp_path / "reports")


@pytest.mark.slow
def test_as_sure_as_in_the_evaluation_is_no_drift(engine: Engine, target: Target, tmp_path: Path) -> None:
    ids, rows = ask(engine, 400, START, 0.9)
    correct(engine, ids[:60], rows[:60], START + 500)
    found = checked(engine, target, tmp_path, START + HOUR)
    assert not found.alarm and found.figures["kind_confidence"] == pytest.approx(0.9, abs=0.02)
    assert found.figures["kind_right_probability_n"] == 60 and abs(found.figures["kind_overconfidence"]) < 0.1
    assert {"confidence in kind", "calibration of kind"} <= set(found.evidence)


@pytest.mark.slow
def test_the_same_classes_said_less_surely_raise_the_alarm(engine: Engine, target: Target, tmp_path: Path) -> None:
    ask(engine, 400, START, 0.6)
    found = checked(engine, target, tmp_path, START + HOUR)
    assert found.alarm
    words = next(reason for reason in found.reasons if "confidence in kind" in reason)
    assert "the likeliest kind has a probability of 0.60 on average, 0.89 in the evaluation" in words
    assert "kind confidence" in Path(found.report).read_text(encoding="utf-8")


@pytest.mark.slow
def test_what_people_correct_tells_of_calibration(engine: Engine, target: Target, tmp_path: Path) -> None:
    ids, rows = ask(engine, 300, START, 0.9)
    others = [{**row, "kind": sorted({*KINDS} - {row["kind"]})[0]} for row in rows]
    correct(engine, ids, others, START + 500)
    found = checked(engine, target, tmp_path, START + HOUR)
    assert found.alarm and found.evidence["calibration of kind"] > 3
    assert found.figures["kind_right_probability"] < 0.2 and found.figures["kind_overconfidence"] > 0.7


def test_what_is_not_known_is_no_score(target: Target) -> None:
    assert confidence.top_probability(None, "kind") is confidence.entropy({}, "kind") is None
    assert confidence.right_probability({"kind": {"lamp": 0.7}}, {}, "kind") is None
    assert confidence.right_probability({"kind": {"lamp": 0.7}}, {"kind": "Lamp "}, "kind") == 0.0
    assert confidence.right_probability({"kind": {"lamp": 0.7}}, {"kind": "lamp "}, "kind") == 0.7
    assert confidence.entropy({"kind": {"a": 0.5, "b": 0.5, "c": 0.0}}, "kind") == pytest.approx(np.log(2))
    assert confidence.surprise({"kind": {"a": 1.0, "b": 0.0}}, {"kind": "b"}, "kind") == pytest.approx(16.1, abs=0.1)
    scores = Scores(read_reference(Path(target.folder)), vectors)
    place = scores.names.index("kind confidence")
    assert scores.of_probabilities([None, {"kind": {"lamp": 0.9}}])[:, place].tolist()[0] == -1


def test_a_version_whose_evaluation_kept_no_probabilities_has_no_such_streams(target: Target) -> None:
    folder = Path(target.folder)
    rows = read_jsonl(folder / "reference/predictions.jsonl")
    del rows[3]["probabilities"]
    write_jsonl(folder / "reference/predictions.jsonl", rows)
    scores = Scores(read_reference(folder), vectors)
    assert scores.probability_labels == [] and not [name for name in scores.names if "confidence" in name]
    assert read_json(folder / "reference/classes.json")["kind"] == sorted(KINDS)
