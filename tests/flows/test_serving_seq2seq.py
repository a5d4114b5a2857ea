"""An encoder-decoder from pairs of texts to answers through the gateway under the real supervisor: corrected and
retrained, tried as a canary and promoted.
"""

import json
import time
from pathlib import Path

import httpx
import pytest

from tasks.files import read_json, read_jsonl, write_jsonl
from tests import sequences, tiny
from tests.flows import project
from tests.flows.served import summary, targets

pytestmark = [pytest.mark.slow, pytest.mark.minutes]  # a project is made, and its models trained and served
TRAIN = {**sequences.TRAIN, "learning_rate": 1.0e-2, "num_train_epochs": 20}


def pairs(first: int, count: int) -> list[dict]:
    """Sources and targets as a person has them."""
    return [
        {"id": row["id"], **{key: row["row"][key] for key in ("source", "target")}}
        for row in sequences.rows(first, count)
    ]


@pytest.fixture(scope="module")
def served(untouched: Path) -> Path:
    """The toy as pairs, learnt by a tiny T5, with every server of `make up`."""
    base = sequences.make_base(untouched / "tiny-t5")
    (base / "source.json").unlink()
    write_jsonl(untouched / "data/seed/things/things.jsonl", pairs(0, 160))
    for suite in ("raw", "prepared"):
        (untouched / f"data/expectations/toys/{suite}.json").unlink()  # it is of other columns
    split = {"validation_share": 0.15, "test_share": 0.2, "near_duplicate_similarity": 1.0}
    asked = {"shape": "pair", "user": sequences.PARAMS.user, "contamination_similarity": 1.0}
    try:
        project.change(
            untouched,
            bases__t5={**tiny.base_row(base), "folder": "tiny-t5"},
            datasets__toys__ingest__columns=["source", "target"],
            datasets__toys__prepare={**asked, **split},
            deploy__serve="auto",
            models__things__parent="t5",
            models__things__train=TRAIN,
            models__things__evaluate={"bootstrap_resamples": 100},
            models__things__gate={"compare_on": "perplexity"},
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


def sort(client: httpx.Client, source: str) -> dict:
    """What the gateway answers to a source."""
    return client.post("/tasks/things", json={"input": {"source": source}}).raise_for_status().json()


def test_it_is_served_by_transformers_and_answers_as_in_evaluation(served: Path) -> None:
    state = json.loads((served / ".anneal/serving/a.json").read_text())
    assert state["engine"] == "transformers" and [*state["adapters"]] == ["things@1"] and state["verified"]
    said = summary(served)
    assert said["registry"]["aliases"] == ["champion"] and said["endpoint"]["parity"]["share"] >= 0.99
    measured = read_json(served / "reports/things/evaluate/metrics.json")
    assert measured["tuned"]["perplexity"] < measured["parent"]["perplexity"]
    assert {"target_bleu", "target_chrf", "target_rouge_l", "target_exact_match"} <= measured["tuned"].keys()


def test_both_routes_of_the_gateway_answer_one_text(served: Path, client: httpx.Client) -> None:
    row = read_jsonl(served / "reports/things/predict/predictions.jsonl")[0]
    answer = sort(client, row["row"]["source"])
    assert answer["version"] == "1" and answer["result"] == {"target": row["text"]}
    body = {"model": "things", "messages": row["messages"], "temperature": 0}
    choice = client.post("/v1/chat/completions", json=body).raise_for_status().json()["choices"][0]
    assert choice["message"]["content"] == row["text"] and choice["finish_reason"] == "stop"
    turns = [*row["messages"], {"role": "assistant", "content": row["text"]}, *row["messages"]]
    refused = client.post("/v1/chat/completions", json={**body, "messages": turns})
    assert refused.status_code == 400 and "reads one text: send one message" in refused.json()["error"]["message"]


def test_what_people_correct_is_learnt_tried_beside_it_and_promoted(served: Path, client: httpx.Client) -> None:
    rows = pairs(200, 20)
    for row in rows:
        feedback = {"request_id": sort(client, row["source"])["request_id"], "correction": {"target": row["target"]}}
        client.post("/feedback", json=feedback).raise_for_status()
    said = project.run(served, "flows.retrain", "things")
    assert "things: 20 harvested" in said and "things: canary: version 2" in said
    end, versions = time.monotonic() + 240, set()
    while targets(served)["champion"]["version"] == "1":
        assert time.monotonic() < end, project.run(served, "tasks.retrain.book", "things")
        versions |= {sort(client, row["source"])["version"] for row in rows}
    assert versions >= {"1", "2"} and targets(served)["previous"]["version"] == "1"
