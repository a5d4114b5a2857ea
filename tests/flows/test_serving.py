"""The real vLLM on a tiny model, under the real supervisor: deployed by the pipeline, swapped, killed, replaced,
rolled back, stopped.
"""

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from contextlib import chdir
from pathlib import Path

import httpx
import pytest
from openai import OpenAI

from tasks.serve import supervisor
from tasks.steps.report.summary import lasting
from tests import tiny
from tests.flows import project
from tests.flows.served import (
    answer,
    ask,
    client_of,
    correct,
    engines,
    listeners,
    promoted,
    sort,
    summary,
    targets,
    traffic,
)

pytestmark = pytest.mark.slow  # each test trains, or loads a model


def test_the_pipeline_ends_with_a_champion_that_answers(served: Path) -> None:
    said = summary(served)
    assert said["gate"]["passed"] and said["registry"] == {"name": "things", "version": "1", "aliases": ["champion"]}
    assert said["endpoint"]["model"] == "things@1" and said["endpoint"]["parity"]["share"] >= 0.9
    assert set(answer(served)) == {"colour", "mood", "reply"}
    assert (served / targets(served)["champion"]["folder"] / "reference/rows.jsonl").exists()


HEAVY = {"torch", "transformers", "mlflow", "prefect", "great_expectations", "pandas", "numpy"}
RUN = """
import sys
from flows import pipeline
try:
    pipeline.main()
finally:
    print("loaded:", *sorted({name.partition(".")[0] for name in sys.modules}))
"""


def second_run(served: Path) -> tuple[str, set[str]]:
    """(what `make pipeline` prints, the libraries that it has loaded)."""
    words = [sys.executable, "-c", RUN, "things"]
    done = subprocess.run(words, cwd=served, env=project.environment(), capture_output=True, text=True)
    said, _, loaded = done.stdout.rpartition("loaded: ")
    return said, set(loaded.split())


def test_a_second_run_does_nothing_loads_nothing_heavy_and_says_the_same(served: Path) -> None:
    port = project.ports(served).deploy
    before, table = listeners(port), (served / ".anneal/serving/routes.json").read_text()
    first = summary(served)
    said, loaded = second_run(served)
    assert "something to do" not in said and first["endpoint"]["curl"] in said
    assert "httpx" in loaded and loaded & HEAVY == set()
    states = {entry["name"]: entry["state"] for entry in summary(served)["stages"]}
    names = [entry["name"] for entry in first["stages"]]  # as the report was written, which is a step itself
    assert states == dict.fromkeys([*names, "report"], "cached")
    assert lasting(summary(served)) == lasting(first)
    assert listeners(port) == before and (served / ".anneal/serving/routes.json").read_text() == table


def test_a_second_run_of_all_steps_trains_registers_and_deploys_nothing(served: Path) -> None:
    port = project.ports(served).deploy
    before, table = listeners(port), (served / ".anneal/serving/routes.json").read_text()
    project.change(served, monitor__report_rows=51)  # no stage knows it, and the registry has another hash of params
    said = project.run(served, "flows.pipeline", "things")
    assert "something to do: params.yaml has changed" in said
    states = {entry["name"]: entry["state"] for entry in summary(served)["stages"]}
    assert {name: state for name, state in states.items() if name not in ("gate", "report")} == dict.fromkeys(
        [name for name in states if name not in ("gate", "report")], "cached"
    )
    assert listeners(port) == before and (served / ".anneal/serving/routes.json").read_text() == table
    assert "something to do" not in second_run(served)[0]


@pytest.mark.minutes
def test_a_better_version_is_swapped_in_and_rolled_back_without_a_restart_and_without_a_cut_stream(
    served: Path,
) -> None:
    port = project.ports(served).deploy
    (pid,) = listeners(port)
    project.change(served, models__things__train__seed=7)
    project.run(served, "dvc", "repro")  # trained before the traffic begins: both would want the processor
    with traffic(served) as wrong:
        said = project.run(served, "flows.pipeline", "things")
        assert "promoted at once: no gateway is running" in said
        assert summary(served)["registry"] == {"name": "things", "version": "2", "aliases": ["champion"]}
        assert {alias: target["version"] for alias, target in targets(served).items()} == {
            "champion": "2",
            "previous": "1",
        }
        said = project.run(served, "tasks.steps.release", "rollback", "things")
    assert wrong == []
    assert "things is answered by version 1" in said and "@champion    things version 1" in said
    assert listeners(port) == {pid}
    project.run(served, "flows.pipeline", "things")  # a version that was rolled back is not promoted by itself
    assert targets(served)["champion"]["version"] == "1"
    project.change(served, models__things__train__seed=tiny.TRAIN.get("seed", 42))


@pytest.mark.minutes
def test_a_killed_server_comes_back_with_all_versions_and_leaves_no_engine_behind(served: Path) -> None:
    port = project.ports(served).deploy
    (pid,) = listeners(port)
    before = engines(served)
    os.kill(pid, signal.SIGKILL)
    while pid in listeners(port):
        time.sleep(0.1)
    end = time.monotonic() + 240
    while not listeners(port):
        assert time.monotonic() < end, "no server after 240 s"
        time.sleep(0.5)
    while time.monotonic() < end:
        try:
            ask(served)
            break
        except httpx.HTTPError:
            time.sleep(0.5)
    assert before and not before & engines(served)
    assert set(answer(served)) == set(answer(served, "challenger")) == {"colour", "mood", "reply"}


@pytest.mark.minutes
def test_a_version_that_disagrees_with_transformers_is_refused_and_who_answers_stays(served: Path) -> None:
    with sqlite3.connect(served / ".anneal/mlflow.db") as registry:
        registry.execute("DELETE FROM model_version_tags WHERE key = 'parity' AND version = 2")
    kept = {file: file.read_text() for file in (served / ".anneal/mlartifacts").rglob("evaluate/predictions.jsonl")}
    assert kept
    for file, text in kept.items():  # planted: what transformers is said to have answered is something else
        rows = [json.loads(line) for line in text.splitlines()]
        file.write_text("".join(json.dumps({**row, "token_ids": row["token_ids"][::-1]}) + "\n" for row in rows))
    try:
        said = project.run(served, "tasks.steps.release", "promote", "things", status=1)
    finally:
        for file, text in kept.items():
            file.write_text(text)
    assert "the deployment is refused" in said
    assert targets(served)["champion"]["version"] == "1" and set(answer(served)) == {"colour", "mood", "reply"}


@pytest.mark.minutes
def test_a_server_with_other_options_starts_beside_the_old_one_and_takes_over_without_a_gap(served: Path) -> None:
    ports = project.ports(served)
    project.change(served, deploy__max_model_len=640)
    with traffic(served) as wrong:
        project.run(served, "flows.pipeline", "things")
    assert wrong == []
    assert (
        summary(served)["endpoint"]["url"]
        == f"http://127.0.0.1:{ports.second}/v1"
        == targets(served)["champion"]["url"]
    )
    assert not listeners(ports.deploy) and listeners(ports.second)
    assert not (served / ".anneal/serving/a.json").exists()


def test_a_port_that_someone_else_holds_is_named(served: Path) -> None:
    ports, before = project.ports(served), (served / "params.yaml").read_text()
    with (
        socket.create_server(("127.0.0.1", ports.prefect)),
        socket.create_server(("127.0.0.1", ports.mlflow)),
    ):  # one for each slot
        project.change(served, deploy__port=ports.prefect)
        try:
            said = project.run(served, "flows.pipeline", "things", status=1)
        finally:
            (served / "params.yaml").write_text(before)
    assert "is in use by" in said and f"(pid {os.getpid()})" in said and "deploy.port" in said


def check_prefect(folder: Path) -> None:
    """Two Prefect servers on one database run each other's schedules, and pages may ask one at the usual port."""
    url = f"http://127.0.0.1:{project.ports(folder).prefect}"
    assert httpx.get(f"{url}/ui-settings").json()["api_url"] == f"{url}/api"
    assert (folder / ".anneal/prefect/prefect.db").exists()


@pytest.mark.minutes
def test_what_people_correct_is_learnt_tried_on_part_of_the_traffic_promoted_and_rolled_back(served: Path) -> None:
    """The whole loop: gateway, feedback, harvest, training, gate, canary, promotion, rollback, with every server of
    `make up`.
    """
    project.run(served, "tasks.serve.local", "up")
    check_prefect(served)
    client = client_of(served)
    rows = [
        {**row, "thing": f"a {row['colour']} {word}"}
        for word in ("sofa", "violin", "ladder", "bucket", "carpet")
        for row in tiny.things(0, 4)
    ]
    for row in rows:
        correct(client, row)
    before = targets(served)["champion"]["version"]
    said = project.run(served, "flows.retrain", "things")
    assert "things: 20 harvested" in said and "things: canary: version" in said
    assert targets(served)["champion"]["version"] == before
    promoted(served, lambda: {sort(client, row)["version"] for row in rows}, before=before, seconds=120)
    assert "promoted" in project.run(served, "tasks.retrain.show_decisions", "things")
    project.run(served, "tasks.steps.release", "rollback", "things")
    assert sort(client, rows[0])["version"] == before
    key = client.headers["Authorization"].split()[-1]
    openai = OpenAI(base_url=f"{client.base_url}/v1", api_key=key)
    assert "things" in [model.id for model in openai.models.list()]
    client.close()


def test_down_stops_exactly_what_was_started(served: Path) -> None:
    with chdir(served):
        sockets = supervisor.run_folder()
    assert [path for path in sockets.glob("?/*") if path.is_socket()]
    project.run(served, "tasks.serve.local", "down")
    assert not any(listeners(port) for port in vars(project.ports(served)).values())
    assert not engines(served) and not list(sockets.iterdir())
    assert "nothing was running" in project.run(served, "tasks.serve.local", "down")
