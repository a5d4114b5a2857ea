"""The real vLLM with two models on one base under `deploy.serve: auto`: the first is served merged, and becomes an
adapter beside the second, while it answers.
"""

import json
from pathlib import Path

import httpx
import pytest

from tests.flows import project
from tests.flows.served import answer, listeners, targets, traffic

pytestmark = pytest.mark.slow  # trains, and starts vLLM twice


@pytest.fixture
def alone(untouched: Path) -> Path:
    """The toy with its one model served as `auto` serves it, and a second model in params.yaml, trained."""
    try:
        model = json.loads((untouched / "params.yaml").read_text())["models"]["things"]
        project.change(untouched, deploy__serve="auto")
        project.run(untouched, "flows.pipeline", "things")
        other = {**model, "train": {**model["train"], "seed": 7}}
        project.change(untouched, models__others=other)
        project.run(untouched, "dvc", "repro")  # before the traffic begins: both would want the processor
        yield untouched
    finally:
        project.run(untouched, "tasks.serve.local", "down")


def slots(folder: Path) -> dict[str, dict]:
    """Slot: what it serves."""
    return {file.stem: json.loads(file.read_text()) for file in sorted((folder / ".anneal/serving").glob("?.json"))}


@pytest.mark.minutes
def test_the_first_of_two_models_moves_from_merged_weights_to_an_adapter_without_an_outage(alone: Path) -> None:
    ports = project.ports(alone)
    assert [*slots(alone)] == ["a"] and [*slots(alone)["a"]["merged"]] == ["things@1"]
    assert targets(alone)["champion"]["url"] == f"http://127.0.0.1:{ports.deploy}/v1"
    said = answer(alone)
    with traffic(alone) as wrong:
        told = project.run(alone, "flows.pipeline", "others")
    assert wrong == []
    assert "things: version 1 from merged to adapter" in " ".join(told.split())
    assert [*slots(alone)] == ["b"] and {*slots(alone)["b"]["adapters"]} == {"things@1", "others@1"}
    assert targets(alone)["champion"]["url"] == f"http://127.0.0.1:{ports.second}/v1"
    assert listeners(ports.second) and not listeners(ports.deploy)
    assert answer(alone).keys() == said.keys()
    names = {entry["id"] for entry in httpx.get(f"http://127.0.0.1:{ports.second}/v1/models").json()["data"]}
    assert names == {"base", "things@1", "others@1"}
    assert "moved" in project.run(alone, "tasks.retrain.book", "things")
    before, table = listeners(ports.second), (alone / ".anneal/serving/routes.json").read_text()
    project.run(alone, "flows.pipeline", "things")  # finds itself served as it should be
    assert listeners(ports.second) == before and (alone / ".anneal/serving/routes.json").read_text() == table
