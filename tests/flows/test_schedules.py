"""Schedules are those of params.yaml, what people ask for starts once, a run ends with its server, and the pools'
deployments are what Prefect takes.
"""

import copy
import subprocess
import sys
import time
from contextlib import nullcontext
from types import SimpleNamespace

import pytest

from flows import prefect_server, schedules
from tasks import params as settings
from tasks.errors import TransientError
from tasks.records import database
from tasks.retrain import store
from tasks.retrain.params import Retrain
from tasks.stage import load_yaml
from tests.flows.project import ROOT

pytestmark = pytest.mark.slow  # a Prefect server is started

IDS = ["11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"]


@pytest.fixture
def params() -> settings.Params:
    """The project's own."""
    return settings.load(ROOT / "params.yaml")


@pytest.mark.slow
def test_both_flows_are_served_at_the_intervals_of_params(params, monkeypatch):
    monkeypatch.chdir(ROOT)
    found = {flow: schedules.deployment(params, flow) for flow in ("monitor", "retrain")}
    assert [(one.flow_name, one.name, one.entrypoint) for one in found.values()] == [
        ("monitor", "every", "flows.scheduled_flows.monitor"),
        ("retrain", "every", "flows.scheduled_flows.retrain"),
    ]
    assert {
        flow: [one.schedule.interval.total_seconds() / 60 for one in kept.schedules] for flow, kept in found.items()
    } == {"monitor": [60.0], "retrain": [15.0]}
    assert not any(one.paused for one in found.values()) and all(
        schedule.active for one in found.values() for schedule in one.schedules
    )


@pytest.mark.slow
def test_a_schedule_in_crons_words_is_one_more_that_can_be_paused(params, monkeypatch):
    monkeypatch.chdir(ROOT)
    weekly = params.model_copy(update={"retrain": Retrain(cron="0 3 * * 1")})
    found = schedules.deployment(weekly, "retrain").schedules
    assert [one.slug for one in found] == ["every", "cron"]
    assert found[1].schedule.cron == "0 3 * * 1" and found[1].schedule.timezone == "UTC"


def test_what_a_person_has_paused_stays_paused_when_it_is_served_again(params, monkeypatch):
    monkeypatch.chdir(ROOT)
    schedule = [SimpleNamespace(slug="every", active=False), SimpleNamespace(slug="cron", active=True)]
    client = SimpleNamespace(
        read_deployment_by_name=lambda name: SimpleNamespace(paused=name == "retrain/every", schedules=schedule)
    )
    monkeypatch.setattr("prefect.client.orchestration.get_client", lambda **_: nullcontext(client))
    assert schedules.paused("retrain") == (True, {"every"}) and schedules.paused("monitor") == (False, {"every"})
    again = schedules.deployment(
        params.model_copy(update={"retrain": Retrain(cron="0 3 * * 1")}), "retrain", *schedules.paused("retrain")
    )
    assert again.paused and [one.active for one in again.schedules] == [False, True]


def test_the_automations_are_what_the_server_takes():
    from prefect.server.events.schemas.automations import AutomationCreate

    made = [
        AutomationCreate.model_validate(one.model_dump(mode="json", exclude_unset=True))
        for one in schedules.automations(IDS)
    ]
    silent, crashed = made
    assert silent.actions[0].state == "CRASHED" and silent.trigger.within.total_seconds() > 2 * schedules.HEARTBEAT
    assert silent.trigger.for_each == {"prefect.resource.id"} and "prefect.flow-run.Completed" in silent.trigger.expect
    assert (
        crashed.trigger.expect == {"prefect.flow-run.Crashed"} and crashed.trigger.within.total_seconds() == 3600
    )  # once an hour: no loop
    assert crashed.actions[0].source == "inferred" and crashed.actions[0].schedule_after.total_seconds() == 60


def test_what_people_ask_for_starts_one_run_for_each_task_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    started = []
    monkeypatch.setattr(
        "prefect.deployments.run_deployment", lambda name, parameters, **_: started.append((name, parameters["task"]))
    )
    engine, seen = database.connect(), set()
    for task, action in (("a", "retrain"), ("b", "pause"), ("a", "retrain"), ("a", "promote")):
        store.add_command(engine, task, action, "k", time.time())
    assert schedules.start_requested(engine, seen) == ["a", "b"]
    assert schedules.start_requested(engine, seen) == []
    store.add_command(engine, "b", "resume", "k", time.time())
    assert schedules.start_requested(engine, seen) == ["b"]
    assert started == [("retrain/every", "a"), ("retrain/every", "b"), ("retrain/every", "b")]
    engine.dispose()


def test_a_server_that_is_away_is_asked_again_for_commands_that_it_missed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def away(*_: object, **__: object) -> None:
        raise OSError("no server")

    engine, seen = database.connect(), set()
    store.add_command(engine, "a", "retrain", "k", time.time())
    monkeypatch.setattr("prefect.deployments.run_deployment", away)
    with pytest.raises(OSError):
        schedules.start_requested(engine, seen)
    monkeypatch.setattr("prefect.deployments.run_deployment", lambda *_, **__: None)
    assert schedules.start_requested(engine, seen) == ["a"]
    engine.dispose()


def test_it_waits_for_the_prefect_server_and_says_so_once(params, monkeypatch, capsys):
    answers = [TransientError("no answer."), TransientError("no answer."), "http://here/api"]

    def choose(_: object) -> str:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(prefect_server, "choose", choose)
    monkeypatch.setattr(time, "sleep", lambda _: None)
    for name in ("PREFECT_API_URL", "PREFECT_FLOWS_HEARTBEAT_FREQUENCY"):
        monkeypatch.setenv(name, "kept")
    schedules.prepare(params)
    assert answers == [] and capsys.readouterr().out == "no answer. Waiting for it.\n"


RUN = """
import os, subprocess, sys, time
from flows import scheduled_flows
assert [scheduled_flows.monitor.name, scheduled_flows.retrain.name] == ["monitor", "retrain"]
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
scheduled_flows.end_with_parent()
print(os.getpid(), child.pid, flush=True)
time.sleep(60)
"""


@pytest.mark.slow
def test_a_run_and_what_it_started_end_with_the_process_that_serves_it(tmp_path):
    import psutil

    program = f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {RUN!r}]); time.sleep(60)"
    serving = subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), "PREFECT_HOME": str(tmp_path)},
    )
    try:
        ours = [psutil.Process(int(pid)) for pid in serving.stdout.readline().split()]
        assert len(ours) == 2
        serving.kill()
        _, left = psutil.wait_procs(ours, timeout=15)
        assert left == []
    finally:
        serving.kill()
        serving.wait()
        serving.stdout.close()


def wrong(config: dict, params: settings.Params) -> list[str]:
    """What of the pools' deployments Prefect would not take, or would take otherwise than it is meant."""
    from prefect.cli.deploy._models import DeploymentConfig, PrefectYamlModel, RawScheduleConfig, WorkPoolConfig

    PrefectYamlModel.model_validate(config)
    minutes = {"monitor": params.monitor.check_every, "retrain": params.retrain.consider_every}
    found = []
    for row in config["deployments"]:
        path, _, flow = row["entrypoint"].partition(":")
        name = f"{flow}/{row['name']}"
        found += [
            f"{name}: {key} is no key of a deployment" for key in row.keys() - DeploymentConfig.model_fields.keys()
        ]
        found += [
            f"{name}: {key} is no key of a work pool"
            for key in row["work_pool"].keys() - WorkPoolConfig.model_fields.keys()
        ]
        found += (
            [f"{name}: {path} has no flow {flow}"]
            if not (ROOT / path).is_file() or f"\n{flow} = {flow}_flow()" not in (ROOT / path).read_text()
            else []
        )
        (schedule,) = [RawScheduleConfig.model_validate(one) for one in row["schedules"]]
        found += (
            [f"{name}: every {schedule.interval}"]
            if schedule.interval.total_seconds() != 60 * minutes.get(flow, 0)
            else []
        )
        found += (
            [f"{name}: a container without its folder"]
            if row["work_pool"]["name"] != "local" and not row.get("pull")
            else []
        )
    served = {(row["entrypoint"], row["work_pool"]["name"]) for row in config["deployments"]}
    return found + ([] if len(served) == 6 == len(config["deployments"]) else ["not each flow in each of three pools"])


def test_the_pools_deployments_are_what_prefect_takes(params):
    config = load_yaml(ROOT / "infra/prefect.yaml")
    assert wrong(config, params) == []
    version = {
        line.partition("==")[2]
        for line in (ROOT / "infra/requirements/cpu.lock").read_text().splitlines()
        if line.startswith("prefect==")
    }
    assert {config["prefect-version"]} == version


@pytest.mark.parametrize(
    "change",
    [
        {"entry": "x"},
        {"entrypoint": "flows/none.py:retrain"},
        {"entrypoint": "flows/scheduled_flows.py:train"},
        {"schedules": [{"interval": 60}]},
        {"pull": None},
        {"work_pool": {"name": "training", "image": "x"}},
    ],
)
def test_a_planted_mistake_in_a_pools_deployment_is_caught(change, params):
    config = copy.deepcopy(load_yaml(ROOT / "infra/prefect.yaml"))
    (row,) = [
        row for row in config["deployments"] if row["name"] == "kubernetes" and row["entrypoint"].endswith("retrain")
    ]
    row |= change
    assert wrong(config, params) != []
