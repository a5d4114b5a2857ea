"""The monitor of a version that sees images: of what was asked it follows nothing, of the answers how sure they are."""

import hashlib
import json
import random
from pathlib import Path

import pytest
from sqlalchemy import insert

from tasks.files import read_jsonl, write_json, write_jsonl
from tasks.monitor import check_page, evidently_page, figures
from tasks.monitor.check import check
from tasks.monitor.params import Monitor
from tasks.monitor.reference import read_reference
from tasks.monitor.scores import Scores
from tasks.records import database
from tasks.records.database import requests
from tasks.serve.routes import Target
from tests.tasks.monitored import ARTIFACT, START, ticket, vectors, version
from tests.tasks.test_monitor_confidence import told

pytestmark = pytest.mark.slow  # the checks take seconds


def name(number: object) -> str:
    return f"sha256:{hashlib.sha256(str(number).encode()).hexdigest()}"


@pytest.fixture
def target(tmp_path: Path) -> Target:
    """A version that was sure in its evaluation; its rows name images."""
    made, dice = version(tmp_path / "kept"), random.Random(3)
    folder = Path(made.folder)
    predictions = read_jsonl(folder / "reference/predictions.jsonl")
    for row in predictions:
        kind = row["row"]["kind"]
        row |= {"text": json.dumps({"kind": kind}), "answer": json.dumps({"kind": kind})}
        row["probabilities"] = told(kind, dice, 0.9)
    rows = [{**row, "input": {"image": name(row["id"])}} for row in read_jsonl(folder / "reference/rows.jsonl")]
    write_jsonl(folder / "reference/predictions.jsonl", predictions)
    write_jsonl(folder / "reference/rows.jsonl", rows)
    form = {"system": None, "user": "{{ image }}", "answer": ["kind"], "example": "image"}
    write_json(folder / "format.json", form)
    return made


def test_nothing_is_followed_of_what_images_are_called(target: Target) -> None:
    reference = read_reference(Path(target.folder))
    assert reference is not None
    scores = Scores(reference, vectors)
    assert {stream.kind for stream in scores.streams} == {"answer", "quality", "label"}
    inputs = scores.held_out()
    assert figures.of_inputs(scores, inputs, scores.embed(scores.request_texts(inputs))) == {}
    assert figures.distance(scores, scores.embed(scores.request_texts(inputs)), Monitor()) == {}


@pytest.mark.parametrize(("sure", "is_drift"), [(0.9, False), (0.55, True)])
def test_one_image_again_and_again_is_no_drift_and_less_sure_answers_are(
    sure: float, is_drift: bool, target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidently_page, "write", lambda *_: None)
    monkeypatch.setattr(check_page, "plot", lambda *_: "")
    engine, dice = database.connect(f"sqlite:///{tmp_path / 'records.db'}"), random.Random("asked")
    same = {"task": "sort", "version": "1", "artifact": ARTIFACT, "role": "champion", "status": 200, "valid": True}
    rows = []
    for i in range(400):
        kind = ticket(dice)["kind"]
        answered = {"output": json.dumps({"kind": kind}), "probabilities": told(kind, dice, sure)}
        rows.append({**same, **answered, "id": f"q{i}", "at": START + i, "path": "/tasks/{task}"})
        rows[-1]["input"] = {"image": name("the same"), "type": "image/png", "bytes": "812"}
    with engine.begin() as connection:
        connection.execute(insert(requests), rows)
    said = check(engine, "sort", target, Monitor(), START + 1000, vectors, tmp_path / "home", tmp_path / "reports")
    assert bool(said.alarm) is is_drift, said.reasons
    assert not is_drift or any("confidence in kind" in reason for reason in said.reasons)
