"""A model that tells numbers from raw rows to answers through the gateway under the real supervisor: corrected by
numbers, retrained, tried as a canary and promoted.
"""

import json
import time
from pathlib import Path

import httpx
import pytest

from tasks.files import read_json, write_jsonl
from tests import encoders, tiny
from tests.flows import project
from tests.flows.served import summary, targets

pytestmark = [pytest.mark.slow, pytest.mark.minutes]  # a project is made, and its models trained and served
TRAIN = {
    "objective": {"kind": "regress"},
    "tuner": {"kind": "full"},
    "learning_rate": 3.0e-3,
    "num_train_epochs": 6,
    "max_length": 64,
    "bf16": False,
}
WEIGHTS = {size: 100 + 1.5 * place for place, size in enumerate(tiny.SIZES)}


@pytest.fixture(scope="module")
def served(untouched: Path) -> Path:
    """Toys with their weights, with every server of `make up`."""
    base = encoders.make_base(untouched / "tiny-encoder")
    (base / "source.json").unlink()
    rows = [{**row, "weight": WEIGHTS[row["size"]]} for row in tiny.things(0, 128)]
    write_jsonl(
        untouched / "data/weights/rows.jsonl", [{key: row[key] for key in ("thing", "size", "weight")} for row in rows]
    )
    split = {"validation_share": 0.15, "test_share": 0.2, "near_duplicate_similarity": 1.0}
    asked = {"shape": "scored", "user": "{{ size }} {{ thing }}", "numbers": ["weight"]}
    try:
        project.change(
            untouched,
            bases__encoder={**tiny.base_row(base), "folder": "tiny-encoder"},
            datasets__toys__ingest={"source": "data/weights", "columns": ["thing", "size", "weight"]},
            datasets__toys__prepare={**asked, **split, "contamination_similarity": 1.0},
            deploy__serve="auto",
            gateway__requests_per_minute=100_000,
            models__things__parent="encoder",
            models__things__train=TRAIN,
            models__things__evaluate={"numbers": ["weight"], "bootstrap_resamples": 100},
            models__things__gate={},
        )
        for suite in (untouched / "data/expectations/toys").glob("*.json"):
            suite.unlink()  # of the columns that were; written anew
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


def weigh(client: httpx.Client, row: dict) -> dict:
    """What the gateway answers to a row."""
    body = {"input": {"thing": row["thing"], "size": row["size"]}}
    answer: dict = client.post("/tasks/things", json=body).raise_for_status().json()
    return answer


def test_it_is_served_with_the_evaluations_numbers(served: Path, client: httpx.Client) -> None:
    said = summary(served)
    assert said["registry"]["aliases"] == ["champion"] and said["endpoint"]["parity"]["difference"] < 1.0e-3
    metrics = read_json(served / "reports/things/evaluate/metrics.json")
    assert metrics["tuned"]["weight_rmse"] < metrics["parent"]["weight_rmse"] / 2
    answer = weigh(client, tiny.things(0, 1)[0])
    assert answer["valid"] and answer["result"]["weight"] == pytest.approx(WEIGHTS[tiny.things(0, 1)[0]["size"]], abs=3)
    body = {"model": "things", "messages": [{"role": "user", "content": "big a blue boat"}]}
    choice = client.post("/v1/chat/completions", json=body).raise_for_status().json()["choices"][0]
    assert json.loads(choice["message"]["content"])["weight"] == pytest.approx(WEIGHTS["big"], abs=3)


def test_what_people_correct_is_learnt_tried_beside_it_and_promoted(served: Path, client: httpx.Client) -> None:
    words = ("sofa", "violin", "ladder", "bucket", "carpet")
    rows = [{**row, "thing": f"a {row['colour']} {word}"} for word in words for row in tiny.things(0, 4)]
    for row in rows:
        feedback = {"request_id": weigh(client, row)["request_id"], "correction": {"weight": WEIGHTS[row["size"]]}}
        client.post("/feedback", json=feedback).raise_for_status()
    said = project.run(served, "flows.retrain", "things")
    assert "things: 20 harvested" in said and "things: canary: version 2" in said
    end, versions = time.monotonic() + 240, set()
    while targets(served)["champion"]["version"] == "1":
        assert time.monotonic() < end, project.run(served, "tasks.retrain.book", "things")
        versions |= {weigh(client, row)["version"] for row in rows}
    assert versions >= {"1", "2"} and targets(served)["previous"]["version"] == "1"
