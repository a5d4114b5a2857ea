"""Questions about texts, from raw rows to answers through the gateway under the real supervisor: corrected, retrained,
tried as a canary and promoted.
"""

import json
import time
from pathlib import Path

import httpx
import pytest

from tasks.files import read_jsonl, write_json, write_jsonl
from tests import encoders, tiny
from tests.flows import project
from tests.flows.served import summary, targets

pytestmark = [pytest.mark.slow, pytest.mark.minutes]  # a project is made, and its models trained and served
TRAIN = {
    "objective": {"kind": "extract"},
    "tuner": {"kind": "full"},
    "learning_rate": 3.0e-3,
    "num_train_epochs": 6,
    "max_length": 64,
    "bf16": False,
}
COLUMNS = ["question", "context", "answer"]


def rows(things: list[dict]) -> list[dict]:
    """Questions about things, as a source has them."""
    return [{"id": row["id"], **{column: row[column] for column in COLUMNS}} for row in map(question, things)]


def question(thing: dict) -> dict:
    """The columns of a question about a thing."""
    row: dict = encoders.span_row(thing)["row"]
    return row


@pytest.fixture(scope="module")
def served(untouched: Path) -> Path:
    """Questions about the toys, with every server of `make up`."""
    base = encoders.make_base(untouched / "tiny-encoder")
    (base / "source.json").unlink()
    write_jsonl(untouched / "data/seed/questions/rows.jsonl", rows(tiny.things(0, 240)))
    for suite in ("raw", "prepared"):
        rule = {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "context"}}
        write_json(untouched / f"data/expectations/toys/{suite}.json", {"expectations": [rule]})
    split = {"validation_share": 0.15, "test_share": 0.2}
    apart = {"near_duplicate_similarity": 1.0, "contamination_similarity": 1.0}
    try:
        project.change(
            untouched,
            bases__encoder={**tiny.base_row(base), "folder": "tiny-encoder"},
            datasets__toys__ingest={"source": "data/seed/questions", "columns": COLUMNS},
            datasets__toys__prepare={"shape": "spans", "answer": "answer", **split, **apart},
            deploy__serve="auto",
            gateway__requests_per_minute=100_000,
            models__things__parent="encoder",
            models__things__train=TRAIN,
            models__things__evaluate={"bootstrap_resamples": 100},
            models__things__gate={},
        )
        project.run(untouched, "flows.pipeline", "things")
        project.run(untouched, "tasks.serve.local", "up")
        yield untouched
    finally:
        project.run(untouched, "tasks.serve.local", "down")


@pytest.fixture(scope="module")
def client(served: Path) -> httpx.Client:
    """A client of the gateway."""
    key = project.run(served, "tasks.serve.gateway.keys", "me").split()[-1]
    door = f"http://127.0.0.1:{project.ports(served).gateway}"
    return httpx.Client(base_url=door, headers={"Authorization": f"Bearer {key}"}, timeout=120)


def ask(client: httpx.Client, row: dict) -> dict:
    """What the gateway answers to a question about a text."""
    given = {column: row[column] for column in ("question", "context")}
    answer: dict = client.post("/tasks/things", json={"input": given}).raise_for_status().json()
    return answer


def test_it_is_served_with_the_evaluations_answers_and_probabilities(served: Path, client: httpx.Client) -> None:
    said = summary(served)
    assert said["registry"]["aliases"] == ["champion"] and said["endpoint"]["parity"]["difference"] < 1.0e-3
    for row in read_jsonl(served / "reports/things/predict/predictions.jsonl")[:8]:
        result, told = ask(client, row["row"])["result"], json.loads(row["text"])
        assert {name: result[name] for name in told} == told
        assert result["probability"] == pytest.approx(row["probabilities"]["answer"]["given"], abs=1.0e-3)
        assert result["start"] is None or row["row"]["context"][result["start"] : result["end"]] == result["answer"]
    assert "question-answering" in (served / "model_cards/things.md").read_text(encoding="utf-8")


def test_what_people_correct_is_learnt_tried_beside_it_and_promoted(served: Path, client: httpx.Client) -> None:
    words = ("sofa", "violin", "ladder", "bucket", "carpet")
    things = [{**thing, "thing": f"a {thing['colour']} {word}"} for word in words for thing in tiny.things(1, 4)]
    for row in map(question, things):
        correction = {"request_id": ask(client, row)["request_id"], "correction": {"answer": row["answer"]}}
        client.post("/feedback", json=correction).raise_for_status()
    said = project.run(served, "flows.retrain", "things")
    assert "things: 20 harvested" in said and "things: canary: version 2" in said
    assert targets(served)["champion"]["version"] == "1" and targets(served)["challenger"]["version"] == "2"
    end, versions, asked = time.monotonic() + 240, set(), rows(tiny.things(0, 8))
    while targets(served)["champion"]["version"] == "1":
        assert time.monotonic() < end, project.run(served, "tasks.retrain.book", "things")
        versions |= {ask(client, row)["version"] for row in asked}
    assert versions >= {"1", "2"} and targets(served)["previous"]["version"] == "1"
