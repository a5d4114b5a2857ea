"""A prompt-tuned model from raw rows to answers through the gateway: served by transformers under the real supervisor,
killed and back, and retrained from what people correct.
"""

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tasks.files import read_jsonl
from tests import tiny
from tests.flows import project
from tests.flows.served import correct, in_production, listeners, promoted, summary, targets

pytestmark = pytest.mark.slow  # each test trains, or loads a model


@pytest.fixture(scope="module")
def served(untouched: Path) -> Iterator[Path]:
    """The toy, tuned by a prompt, behind the gateway."""
    gate = {"minimum": {"colour_accuracy": 0.0}, "compare_on": "perplexity", "must_beat": []}
    project.change(
        untouched,
        deploy__serve="auto",
        models__things__train__tuner={"kind": "prompt"},
        models__things__train__learning_rate=0.1,
        models__things__train__num_train_epochs=30,  # a prompt is learnt slowly
        models__things__gate=gate,
    )
    with in_production(untouched) as folder:
        yield folder


def sort(client: httpx.Client, row: dict[str, str] | None = None) -> httpx.Response:
    """What the gateway answers to a row."""
    row = row or tiny.things(0, 1)[0]
    return client.post("/tasks/things", json={"input": {"thing": row["thing"], "size": row["size"]}})


@pytest.mark.minutes
def test_it_is_served_by_transformers_and_answers_as_in_evaluation(served: Path) -> None:
    state = json.loads((served / ".anneal/serving/a.json").read_text())
    assert state["engine"] == "transformers" and [*state["adapters"]] == ["things@1"] and state["verified"]
    said = summary(served)
    assert said["registry"]["aliases"] == ["champion"] and said["endpoint"]["parity"]["share"] >= 0.99


@pytest.mark.minutes
def test_both_routes_of_the_gateway_answer(served: Path, client: httpx.Client) -> None:
    predictions = read_jsonl(served / "reports/things/predict/predictions.jsonl")
    whole = next(row for row in predictions if row["text"].startswith("{") and row["text"].endswith("}"))
    answer = sort(client, whole["row"]).raise_for_status().json()
    assert answer["version"] == "1" and answer["valid"] and set(answer["result"]) == {"colour", "mood", "reply"}
    body = {"model": "things", "messages": [{"role": "user", "content": "Thing: a red boat\nSize: big"}]}
    assert client.post("/v1/chat/completions", json=body).raise_for_status().json()["usage"]["completion_tokens"]
    stream = client.post("/v1/chat/completions", json={**body, "stream": True, "temperature": 0}).text
    assert stream.endswith("data: [DONE]\n\n") and "usage" not in stream
    refused = client.post("/v1/chat/completions", json={**body, "logprobs": True})
    assert refused.status_code == 400 and "served by transformers" in refused.json()["error"]["message"]


@pytest.mark.minutes
def test_a_killed_server_comes_back_with_its_version(served: Path, client: httpx.Client) -> None:
    port = project.ports(served).deploy
    (pid,) = listeners(port)
    os.kill(pid, signal.SIGKILL)
    assert sort(client).status_code == 503
    end = time.monotonic() + 120
    while sort(client).status_code != 200:
        assert time.monotonic() < end, "no server after 120 s"
        time.sleep(0.5)
    assert listeners(port) != {pid} and targets(served)["champion"]["model"] == "things@1"


@pytest.mark.minutes
def test_what_people_correct_is_learnt_tried_beside_it_promoted_and_rolled_back(
    served: Path, client: httpx.Client
) -> None:
    """Both versions on one server of transformers: nothing is started or stopped from the first feedback to the end.

    The new one is a bottleneck adapter, which two layers learn surely: whether a prompt is better with 20 rows more is
    chance.
    """
    bottleneck = {"tuner": {"kind": "bottleneck"}, "learning_rate": 0.01}
    project.change(served, **{f"models__things__train__{name}": value for name, value in bottleneck.items()})
    port = project.ports(served).deploy
    before = listeners(port)
    words = "sofa violin ladder bucket carpet".split()
    rows = [{**row, "thing": f"a {row['colour']} {word}"} for word in words for row in tiny.things(0, 4)]
    for row in rows:
        correct(client, row)
    said = project.run(served, "flows.retrain", "things")
    assert "things: 20 harvested" in said and "things: canary: version 2" in said
    assert targets(served)["champion"]["version"] == "1" and targets(served)["challenger"]["version"] == "2"
    promoted(served, lambda: {sort(client).raise_for_status().json()["version"] for _ in rows})
    state = json.loads((served / ".anneal/serving/a.json").read_text())
    assert state["engine"] == "transformers" and {*state["adapters"]} == {"things@1", "things@2"}
    book = project.run(served, "tasks.retrain.show_decisions", "things")
    assert "promoted" in book and "opened" in book
    project.run(served, "tasks.steps.release", "rollback", "things")
    assert sort(client).json()["version"] == "1" and listeners(port) == before
    assert not (served / ".anneal/serving/b.json").exists()
