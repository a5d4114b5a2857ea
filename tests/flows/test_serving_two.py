"""The real vLLM with two models on one base under `deploy.serve: auto`: it writes what the first is measured by, serves
it merged, and then as an adapter beside the second, while it answers.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from tasks.files import read_json
from tests import tiny
from tests.flows import project
from tests.flows.served import answer, listeners, targets, traffic

pytestmark = [pytest.mark.slow, pytest.mark.minutes]  # trains, and starts vLLM three times


@pytest.fixture(scope="module")
def alone(untouched: Path) -> Iterator[Path]:
    """The toy with its one model, measured by what vLLM writes, and served as `auto` serves it."""
    try:
        asked = {"models__things__predict": {**tiny.PREDICT, "engine": "vllm"}}
        project.change(untouched, deploy__serve="auto", **asked)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(project, "PYTHON", project.OWN)  # what starts vLLM is started as a person starts it
            project.run(untouched, "flows.pipeline", "things")
        yield untouched
    finally:
        project.run(untouched, "tasks.serve.local", "down")


def slots(folder: Path) -> dict[str, dict]:
    """Slot: what it serves."""
    return {file.stem: json.loads(file.read_text()) for file in sorted((folder / ".anneal/serving").glob("?.json"))}


def test_a_run_asks_one_process_of_vllm_and_leaves_none(alone: Path) -> None:
    stages = ("baseline", "few_shot", "predict")
    timings = {name: read_json(alone / "reports/things" / name / "timing.json") for name in stages}
    assert {name: timing["engine"] for name, timing in timings.items()} == dict.fromkeys(stages, "vllm")
    log = (alone / ".anneal/logs/engine.log").read_text(encoding="utf-8")
    assert log.count(" answers written") == len(stages)
    processes = psutil.process_iter(["cmdline", "cwd"])
    commands = [process.info["cmdline"] or () for process in processes if process.info["cwd"] == str(alone)]
    assert commands and not any("tasks.inference.engine.server" in words for words in commands)


def test_the_first_of_two_models_moves_from_merged_weights_to_an_adapter_without_an_outage(alone: Path) -> None:
    ports, first = project.ports(alone), json.loads((alone / "params.yaml").read_text())["models"]["things"]
    other = {**first, "predict": tiny.PREDICT, "train": {**first["train"], "seed": 7}}
    project.change(alone, models__others=other)
    project.run(alone, "dvc", "repro")  # before the traffic begins: both would want the processor
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
    assert "moved" in project.run(alone, "tasks.retrain.show_decisions", "things")
    before, table = listeners(ports.second), (alone / ".anneal/serving/routes.json").read_text()
    project.run(alone, "flows.pipeline", "things")  # finds itself served as it should be
    assert listeners(ports.second) == before and (alone / ".anneal/serving/routes.json").read_text() == table
