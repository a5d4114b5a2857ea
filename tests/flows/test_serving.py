"""The real vLLM on a tiny model, under the real supervisor: deployed by the pipeline, swapped, killed, rolled back, stopped."""

import json
import os
import signal
import socket
import time
from pathlib import Path

import httpx
import psutil
import pytest

from tests.flows import project

URL = f"http://127.0.0.1:{project.PORTS['deploy']}/v1"


def summary(folder: Path) -> dict:
    return json.loads((folder / "reports/things/summary.json").read_text())


def ask(folder: Path) -> dict:
    row = json.loads((folder / "data/prepared/toys/test.jsonl").read_text().splitlines()[0])
    answer = httpx.post(f"{URL}/chat/completions", json={"model": "things", "messages": row["messages"], "temperature": 0, "max_tokens": 60}, timeout=60)
    answer.raise_for_status()
    return json.loads(answer.json()["choices"][0]["message"]["content"])


def wait_for_health(seconds: float = 240) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if httpx.get(URL.removesuffix("/v1") + "/health", timeout=2).status_code == 200:
                return
        except httpx.HTTPError:
            time.sleep(0.5)
    pytest.fail(f"no server after {seconds} s")


def listeners(port: int) -> set[int]:
    return {connection.pid for connection in psutil.net_connections("tcp") if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port}


def test_the_pipeline_ends_with_a_champion_that_answers(served: Path) -> None:
    said = summary(served)
    assert said["gate"]["passed"] and said["registry"] == {"name": "things", "version": "1", "aliases": ["champion"]}
    assert said["endpoint"]["parity"]["share"] >= 0.9
    assert set(ask(served)) == {"colour", "mood", "reply"}


def test_a_second_run_trains_registers_and_deploys_nothing(served: Path) -> None:
    before = listeners(project.PORTS["deploy"])
    project.run(served, "flows.pipeline", "things")
    states = {entry["name"]: entry["state"] for entry in summary(served)["stages"]}
    assert {name: state for name, state in states.items() if name not in ("gate", "report")} == dict.fromkeys([name for name in states if name not in ("gate", "report")], "cached")
    assert listeners(project.PORTS["deploy"]) == before
    assert summary(served)["registry"]["version"] == "1"


def engines(folder: Path) -> set[int]:
    """The processes of this project's vLLM beside its API server."""
    return {process.pid for process in psutil.process_iter(["name", "cwd"]) if process.info["cwd"] == str(folder) and "VLLM" in (process.info["name"] or "")}


def test_a_killed_server_comes_back_with_its_model_and_leaves_no_engine_behind(served: Path) -> None:
    (pid,) = listeners(project.PORTS["deploy"])
    before = engines(served)
    os.kill(pid, signal.SIGKILL)
    while pid in listeners(project.PORTS["deploy"]):
        time.sleep(0.1)
    wait_for_health()
    assert before and not before & engines(served)
    assert set(ask(served)) == {"colour", "mood", "reply"}


def test_a_better_version_is_swapped_in_without_a_restart_and_rolled_back(served: Path) -> None:
    (pid,) = listeners(project.PORTS["deploy"])
    project.change(served, models__things__train__seed=7)
    project.run(served, "flows.pipeline", "things")
    assert summary(served)["registry"] == {"name": "things", "version": "2", "aliases": ["champion"]}
    said = project.run(served, "tasks.release", "rollback", "things")
    assert "@champion    things version 1" in said
    assert listeners(project.PORTS["deploy"]) == {pid}
    state = json.loads((served / ".anneal/serving/current.json").read_text())
    assert state["adapters"]["things"]["version"] == "1"
    project.run(served, "flows.pipeline", "things")  # a version that a person rolled back is not promoted by itself
    assert json.loads((served / ".anneal/serving/current.json").read_text())["adapters"]["things"]["version"] == "1"


def test_a_deployment_that_disagrees_with_transformers_is_refused_and_the_old_one_stays(served: Path) -> None:
    store = served / ".anneal/mlartifacts"
    for file in store.rglob("evaluate/predictions.jsonl"):  # planted: what transformers is said to have answered is something else
        rows = [json.loads(line) for line in file.read_text().splitlines()]
        file.write_text("".join(json.dumps({**row, "token_ids": row["token_ids"][::-1]}) + "\n" for row in rows))
    said = project.run(served, "tasks.release", "promote", "things", status=1)
    assert "the deployment is refused" in said
    assert json.loads((served / ".anneal/serving/current.json").read_text())["adapters"]["things"]["version"] == "1"
    assert set(ask(served)) == {"colour", "mood", "reply"}


def test_a_port_that_someone_else_holds_is_named(served: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        before = (served / "params.yaml").read_text()
        project.change(served, deploy__port=taken.getsockname()[1])
        try:
            said = project.run(served, "flows.pipeline", "things", status=1)
        finally:
            (served / "params.yaml").write_text(before)
    assert "is taken by" in said and f"(pid {os.getpid()})" in said and "deploy.port" in said


def test_down_stops_exactly_what_was_started(served: Path) -> None:
    project.run(served, "tasks.serve.local", "down")
    assert listeners(project.PORTS["deploy"]) == set()
    assert not engines(served)
    assert "nothing was running" in project.run(served, "tasks.serve.local", "down")
