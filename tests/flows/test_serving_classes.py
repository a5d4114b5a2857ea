"""A classifier from raw rows to probabilities through the gateway under the real supervisor: killed and back,
corrected, retrained, tried as a canary and promoted.
"""

import json
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tasks.files import read_jsonl
from tests import encoders, tiny
from tests.flows import project
from tests.flows.served import listeners, summary, targets

pytestmark = [pytest.mark.slow, pytest.mark.minutes]  # a project is made, and its models trained and served
TRAIN = {
    "objective": {"kind": "classify"},
    "tuner": {"kind": "full"},
    "learning_rate": 3.0e-3,
    "num_train_epochs": 4,
    "max_length": 64,
    "bf16": False,
}


@pytest.fixture(scope="module")
def served(untouched: Path) -> Path:
    """The toy as a classifier of two columns, with every server of `make up`."""
    base = encoders.make_base(untouched / "tiny-encoder")
    (base / "source.json").unlink()
    labels = {"labels": encoders.LABELS, "texts": []}
    split = {"validation_share": 0.15, "test_share": 0.2, "near_duplicate_similarity": 1.0}
    asked = {"shape": "labelled", "user": "{{ size }} {{ thing }}", "labels": encoders.LABELS}
    try:
        project.change(
            untouched,
            bases__encoder={**tiny.base_row(base), "folder": "tiny-encoder"},
            datasets__toys__ingest__columns=["thing", "size", *encoders.LABELS],  # a correction has no reply to fill in
            datasets__toys__prepare={**asked, **split, "contamination_similarity": 1.0},
            deploy__serve="auto",
            gateway__requests_per_minute=100_000,  # each text counts
            models__things__parent="encoder",
            models__things__train=TRAIN,
            models__things__evaluate={**labels, "bootstrap_resamples": 100},
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


def sort(client: httpx.Client, row: dict) -> httpx.Response:
    """What the gateway answers to a row."""
    return client.post("/tasks/things", json={"input": {"thing": row["thing"], "size": row["size"]}})


def classify(client: httpx.Client, rows: list[dict]) -> httpx.Response:
    """What the gateway says of the texts of prepared rows."""
    return client.post("/classify", json={"model": "things", "input": [row["messages"][0]["content"] for row in rows]})


def evaluated(folder: Path) -> list[dict]:
    """What evaluation asked and was told."""
    return read_jsonl(folder / "reports/things/predict/predictions.jsonl")


def test_it_is_served_by_transformers_with_the_evaluations_probabilities(served: Path, client: httpx.Client) -> None:
    state = json.loads((served / ".anneal/serving/a.json").read_text())
    assert state["engine"] == "transformers" and [*state["adapters"]] == ["things@1"] and state["verified"]
    said, rows = summary(served), evaluated(served)[:8]
    assert said["registry"]["aliases"] == ["champion"] and said["endpoint"]["parity"]["difference"] < 1.0e-3
    for entry, row in zip(classify(client, rows).raise_for_status().json()["data"], rows, strict=True):
        for column, told in entry["labels"].items():
            assert told["probabilities"] == pytest.approx(row["probabilities"][column], abs=1.0e-3)


def test_every_route_of_the_gateway_answers(client: httpx.Client) -> None:
    answer = sort(client, tiny.things(0, 1)[0]).raise_for_status().json()
    assert answer["valid"] and answer["result"] == {"colour": "red", "mood": "warm"}
    assert answer["probabilities"]["colour"]["red"] == max(answer["probabilities"]["colour"].values())
    body = {"model": "things", "messages": [{"role": "user", "content": "big a blue boat"}]}
    choice = client.post("/v1/chat/completions", json=body).raise_for_status().json()["choices"][0]
    assert json.loads(choice["message"]["content"])["colour"] == "blue" and choice["probabilities"]
    stream = client.post("/v1/chat/completions", json={**body, "stream": True}).text
    assert stream.endswith("data: [DONE]\n\n")
    refused = client.post("/v1/completions", json={"model": "things", "prompt": "big a blue boat"})
    assert refused.status_code == 400 and "does not generate text" in refused.json()["error"]["message"]


def test_a_server_killed_in_the_middle_comes_back_and_says_the_same(served: Path, client: httpx.Client) -> None:
    port, rows = project.ports(served).deploy, evaluated(served)[:8]
    before = classify(client, rows).raise_for_status().json()["data"]
    (pid,) = listeners(port)
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(classify, client, rows) for _ in range(40)]
        os.kill(pid, signal.SIGKILL)
        statuses = {one.result().status_code for one in asked}
    assert statuses <= {200, 502, 503} and statuses & {502, 503}
    end = time.monotonic() + 120
    while (answer := classify(client, rows)).status_code != 200:
        assert time.monotonic() < end, "no server after 120 s"
        time.sleep(0.5)
    assert listeners(port) != {pid}
    for old, new in zip(before, answer.json()["data"], strict=True):
        assert new["probs"] == pytest.approx(old["probs"], abs=1.0e-5)


def test_what_people_correct_is_learnt_tried_beside_it_and_promoted(served: Path, client: httpx.Client) -> None:
    words = ("sofa", "violin", "ladder", "bucket", "carpet")
    rows = [{**row, "thing": f"a {row['colour']} {word}"} for word in words for row in tiny.things(0, 4)]
    for row in rows:
        correction = {column: row[column] for column in encoders.LABELS}
        feedback = {"request_id": sort(client, row).json()["request_id"], "correction": correction}
        client.post("/feedback", json=feedback).raise_for_status()
    said = project.run(served, "flows.retrain", "things")
    assert "things: 20 harvested" in said and "things: canary: version 2" in said
    assert targets(served)["champion"]["version"] == "1" and targets(served)["challenger"]["version"] == "2"
    end, versions = time.monotonic() + 240, set()
    while targets(served)["champion"]["version"] == "1":
        assert time.monotonic() < end, project.run(served, "tasks.retrain.book", "things")
        versions |= {entry["version"] for entry in classify(client, evaluated(served)[:8]).json()["data"]}
    assert versions >= {"1", "2"} and targets(served)["previous"]["version"] == "1"
