"""Models that read, from raw rows to answers through the gateway under the real supervisor: three on one server of
transformers, one of them by vLLM before, killed and back, corrected, retrained, tried as canaries and promoted.
"""

import json
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tasks.files import read_json
from tests import tiny
from tests.flows import project, readers
from tests.flows.readers import CLASSES, NUMBERS, SPANS, engine, evaluated
from tests.flows.served import in_production, listeners, promoted, summary, targets

pytestmark = [pytest.mark.slow, pytest.mark.minutes]  # a project is made, and its models trained and served
READERS = (CLASSES, NUMBERS, SPANS)


@pytest.fixture(scope="module")
def served(untouched: Path) -> Iterator[Path]:
    """The toy as a classifier of two columns on vLLM, behind the gateway."""
    readers.make(untouched)
    with in_production(untouched) as folder:
        yield folder


@pytest.fixture(scope="module")
def all_three(served: Path) -> Path:
    """The same with a model that tells a number and one that answers questions beside it."""
    for reader in (NUMBERS, SPANS):
        project.run(served, "flows.pipeline", reader.model)
    return served


def classify(client: httpx.Client, rows: list[dict]) -> httpx.Response:
    """What the gateway says of the texts of prepared rows."""
    return client.post("/classify", json={"model": "things", "input": [row["messages"][0]["content"] for row in rows]})


def classified(client: httpx.Client, served: Path, seconds: float = 60) -> list[dict]:
    """What the gateway says of eight test rows, once it says something."""
    end = time.monotonic() + seconds
    while (answer := classify(client, evaluated(served)[:8])).status_code != 200:
        assert time.monotonic() < end, answer.text
        time.sleep(0.5)
    data: list[dict] = answer.json()["data"]
    return data


def as_evaluated(said: list[dict], served: Path) -> None:
    """Each probability is the evaluation's."""
    assert len(said) == 8
    for entry, row in zip(said, evaluated(served), strict=False):
        for column, told in entry["labels"].items():
            assert told["probabilities"] == pytest.approx(row["probabilities"][column], abs=1.0e-3)


def server(served: Path) -> set[int]:
    """The process that listens where the classifier answers."""
    return listeners(urlsplit(targets(served)["champion"]["url"]).port or 0)


def test_it_is_served_by_vllm_with_the_evaluations_probabilities(served: Path, client: httpx.Client) -> None:
    assert engine(served) == "pooling"
    said = summary(served)
    assert said["registry"]["aliases"] == ["champion"] and said["endpoint"]["parity"]["difference"] < 1.0e-3
    as_evaluated(classified(client, served), served)
    answer = CLASSES.ask(client, tiny.things(0, 1)[0])
    assert answer["valid"] and answer["result"] == {"colour": "red", "mood": "warm"} and answer["probabilities"]


def test_killed_vllm_comes_back_and_says_the_same(served: Path, client: httpx.Client) -> None:
    (pid,) = server(served)
    os.kill(pid, signal.SIGKILL)
    assert classify(client, evaluated(served)[:1]).status_code in (502, 503)
    as_evaluated(classified(client, served, 600), served)
    assert engine(served) == "pooling" and server(served) != {pid}


def test_it_moves_to_transformers_when_the_setting_is_taken_back(served: Path, client: httpx.Client) -> None:
    project.change(served, deploy__serve="auto")
    said = project.run(served, "flows.pipeline", "things")
    end = time.monotonic() + 120
    while engine(served) != "transformers":
        assert time.monotonic() < end, said
        time.sleep(0.5)
    as_evaluated(classified(client, served), served)
    assert targets(served)["champion"]["version"] == "1" and summary(served)["endpoint"]["parity"]["difference"] < 1e-3


def test_every_route_of_the_gateway_answers(client: httpx.Client) -> None:
    answer = CLASSES.ask(client, tiny.things(0, 1)[0])
    assert answer["valid"] and answer["result"] == {"colour": "red", "mood": "warm"}
    assert answer["probabilities"]["colour"]["red"] == max(answer["probabilities"]["colour"].values())
    body = {"model": "things", "messages": [{"role": "user", "content": "big a blue boat"}]}
    choice = client.post("/v1/chat/completions", json=body).raise_for_status().json()["choices"][0]
    assert json.loads(choice["message"]["content"])["colour"] == "blue" and choice["probabilities"]
    stream = client.post("/v1/chat/completions", json={**body, "stream": True}).text
    assert stream.endswith("data: [DONE]\n\n")
    refused = client.post("/v1/completions", json={"model": "things", "prompt": "big a blue boat"})
    assert refused.status_code == 400 and "does not generate text" in refused.json()["error"]["message"]


def test_killed_in_the_middle_it_comes_back_and_says_the_same(served: Path, client: httpx.Client) -> None:
    before, rows = classified(client, served), evaluated(served)[:8]
    (pid,) = server(served)
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(classify, client, rows) for _ in range(40)]
        os.kill(pid, signal.SIGKILL)
        statuses = {future.result().status_code for future in asked}
    assert statuses <= {200, 502, 503} and statuses & {502, 503}
    for old, new in zip(before, classified(client, served, 120), strict=True):
        assert new["probs"] == pytest.approx(old["probs"], abs=1.0e-5)
    assert server(served) != {pid}


def test_all_on_one_base_share_a_server(all_three: Path) -> None:
    states = [json.loads(file.read_text()) for file in (all_three / ".anneal/serving").glob("?.json")]
    (state,) = [state for state in states if state["engine"] == "transformers"]
    assert {*state["adapters"]} == {f"{reader.model}@1" for reader in READERS} and state["verified"]
    for reader in READERS:
        said = summary(all_three, reader.model)
        assert said["registry"]["aliases"] == ["champion"] and said["endpoint"]["parity"]["difference"] < 1.0e-3


def test_numbers_are_told_by_both_routes(all_three: Path, client: httpx.Client) -> None:
    metrics = read_json(all_three / "reports/weigher/evaluate/metrics.json")
    assert metrics["tuned"]["weight_rmse"] < metrics["parent"]["weight_rmse"] / 2
    thing = tiny.things(0, 1)[0]
    answer = NUMBERS.ask(client, thing)
    assert answer["valid"] and answer["result"]["weight"] == pytest.approx(readers.WEIGHTS[thing["size"]], abs=3)
    body = {"model": "weigher", "messages": [{"role": "user", "content": "big a blue boat"}]}
    choice = client.post("/v1/chat/completions", json=body).raise_for_status().json()["choices"][0]
    assert json.loads(choice["message"]["content"])["weight"] == pytest.approx(readers.WEIGHTS["big"], abs=3)


def test_spans_have_the_evaluations_answers_and_probabilities(all_three: Path, client: httpx.Client) -> None:
    for row in evaluated(all_three, SPANS)[:8]:
        given = {"input": {name: row["row"][name] for name in ("question", "context")}}
        result = client.post("/tasks/finder", json=given).raise_for_status().json()["result"]
        told = json.loads(row["text"])
        assert {name: result[name] for name in told} == told
        assert result["probability"] == pytest.approx(row["probabilities"]["answer"]["given"], abs=1.0e-3)
        assert result["start"] is None or row["row"]["context"][result["start"] : result["end"]] == result["answer"]
    assert "question-answering" in (all_three / "model_cards/finder.md").read_text(encoding="utf-8")


def test_what_people_correct_is_learnt_by_each_tried_beside_it_and_promoted(
    all_three: Path, client: httpx.Client
) -> None:
    for reader in READERS:
        for thing in tiny.things(1, 4):
            for word in ("sofa", "violin", "ladder", "bucket", "carpet"):
                reader.correct(client, {**thing, "thing": f"a {thing['colour']} {word}"})
    said = project.run(all_three, "flows.retrain")
    for reader in READERS:
        assert f"{reader.model}: 20 harvested" in said and f"{reader.model}: canary: version 2" in said
        routed = targets(all_three, reader.model)
        assert routed["champion"]["version"] == "1" and routed["challenger"]["version"] == "2"
    promoted(all_three, lambda: {entry["version"] for entry in classified(client, all_three)})
    for reader in (NUMBERS, SPANS):
        promoted(
            all_three,
            lambda reader=reader: {reader.ask(client, thing)["version"] for thing in tiny.things(0, 8)},
            reader.model,
        )
