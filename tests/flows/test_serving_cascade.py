"""The real vLLM with a cascade: deployed by the pipeline as merged weights, asked through the gateway, watched, and
served as an adapter.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from openai import OpenAI

from tasks.files import read_jsonl
from tests import tiny
from tests.flows import project, told
from tests.flows.served import ask, correct, summary

pytestmark = [pytest.mark.slow, pytest.mark.minutes]  # it trains two models and starts vLLM twice


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The project with its first version in production, and all of `make up`."""
    folder = project.copy(told.make(tmp_path_factory.mktemp("making")), tmp_path_factory.mktemp("told") / "project")
    told.write_out(folder)
    try:
        project.run(folder, "flows.pipeline", "things")
        project.run(folder, "tasks.serve.local", "up")
        yield folder
    finally:
        project.run(folder, "tasks.serve.local", "down")


@pytest.fixture(scope="module")
def key(served: Path) -> str:
    return project.run(served, "tasks.serve.gateway.keys", "me").split()[-1]


@pytest.fixture
def client(served: Path, key: str) -> Iterator[httpx.Client]:
    url = f"http://127.0.0.1:{project.ports(served).gateway}"
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=120) as made:
        yield made


def predicted(folder: Path) -> list[dict]:
    return read_jsonl(folder / "reports/things/predict/predictions.jsonl")


def test_the_endpoint_says_the_labels_of_the_classifier_and_one_json(served: Path, client: httpx.Client) -> None:
    assert summary(served)["endpoint"]["parity"]["share"] >= 0.9
    assert (served / ".anneal/serving/a.json").read_text().count("-merged") >= 1
    rows = {row["id"]: row for row in predicted(served)}
    for row in list(rows.values())[:4]:
        said = client.post(
            "/tasks/things", json={"input": {name: row["row"][name] for name in ("thing", "size")}}
        ).json()
        labels = json.loads(row["given"] + ' ""}')
        assert said["valid"] and {name: said["result"][name] for name in tiny.LABELS} == {
            name: labels[name] for name in tiny.LABELS
        }
        assert said["result"]["reply"]


def test_openai_gets_a_stream_that_begins_with_the_labels(served: Path, client: httpx.Client, key: str) -> None:
    row = predicted(served)[0]
    openai = OpenAI(base_url=f"{client.base_url}/v1", api_key=key)
    stream = openai.chat.completions.create(model="things", messages=row["messages"], temperature=0, stream=True)
    pieces = [event.choices[0].delta.content or "" for event in stream if event.choices]
    assert next(piece for piece in pieces if piece) == row["given"] and json.loads("".join(pieces))


def test_records_corrections_and_the_monitor_take_the_whole_answer(served: Path, client: httpx.Client) -> None:
    for row in tiny.things(0, 12):
        correct(client, row)
    said = project.run(served, "flows.monitor", "things")
    assert "things" in said and "Traceback" not in said


def test_under_deploy_serve_adapter_it_moves_and_keeps_its_labels(served: Path) -> None:
    project.change(served, deploy__serve="adapter")
    project.run(served, "flows.pipeline", "things")
    row = json.loads((served / "data/prepared/told/test.jsonl").read_text().splitlines()[0])
    said = ask(served).raise_for_status().json()["choices"][0]["message"]["content"]
    assert said.startswith(row["given"]) and json.loads(said).keys() == {"colour", "mood", "reply"}
