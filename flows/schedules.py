"""Serves the flows on their schedules, starts requested runs at once, and repeats crashed ones: `python -m
flows.schedules`.
"""

import os
import sys
import threading
import time
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import Engine

from flows import prefect_server
from tasks import params as settings
from tasks import stage as edge
from tasks.errors import AnnealError, TransientError
from tasks.records import database

if TYPE_CHECKING:
    from prefect.automations import Automation, EventTrigger
    from prefect.deployments.runner import RunnerDeployment

NAME = "every"  # of both deployments
LIMIT = 4  # runs at once; a retraining takes hours, and decisions and checks go on beside it
HEARTBEAT, SILENCE = 30, 100  # seconds between signs of life of a run; of silence after which it counts as killed
AGAIN_AFTER, AGAIN_WITHIN = 60, 3600  # seconds: a crashed run is repeated after a minute, at most once an hour
RUNS = {"prefect.resource.id": "prefect.flow-run.*"}
SILENT, CRASHED = "anneal: a silent run has crashed", "anneal: a crashed run is repeated"


def run() -> None:
    """Serve monitor and retrain until stopped; wait for the Prefect server as long as it takes."""
    params = settings.load()
    prepare(params)
    from prefect import serve

    deployments = [deployment(params, flow, *paused(flow)) for flow in ("monitor", "retrain")]
    ids = [str(entry.apply()) for entry in deployments]
    forget_late_runs()
    automate(ids)
    threading.Thread(target=follow_commands, daemon=True).start()
    serve(*deployments, pause_on_shutdown=False, print_starting_message=False, limit=LIMIT)


def prepare(params: settings.Params) -> None:
    """Set Prefect up for this process and the runs it starts, once its server answers."""
    os.environ.setdefault("PREFECT_API_URL", f"http://127.0.0.1:{params.servers.prefect_port}/api")
    os.environ.setdefault("PREFECT_FLOWS_HEARTBEAT_FREQUENCY", str(HEARTBEAT))
    is_announced = False
    while True:
        try:
            prefect_server.choose(params.servers)
            return
        except TransientError as error:
            if not is_announced:
                print(f"{error} Waiting for it.", flush=True)
            is_announced = True
            time.sleep(1)


def paused(flow: str) -> tuple[bool, set[str]]:
    """Return whether a person has paused the deployment `flow/every`, and which of its schedules: applying it again
    would forget both.
    """
    from prefect.client.orchestration import get_client
    from prefect.exceptions import ObjectNotFound

    with get_client(sync_client=True) as client:
        try:
            known = client.read_deployment_by_name(f"{flow}/{NAME}")
        except ObjectNotFound:
            return False, set()
    return known.paused, {schedule.slug for schedule in known.schedules if not schedule.active}


def deployment(
    params: settings.Params, flow: str, is_paused: bool = False, off: Collection[str] = ()
) -> "RunnerDeployment":
    """Return the deployment `flow/every` with its schedules; those in `off` are paused."""
    from prefect.deployments.runner import RunnerDeployment
    from prefect.schedules import Cron, Interval

    minutes = {"monitor": params.monitor.check_every, "retrain": params.retrain.consider_every}[flow]
    schedules = [Interval(timedelta(minutes=minutes), slug="every", active="every" not in off)]
    if flow == "retrain" and params.retrain.cron:
        schedules.append(Cron(params.retrain.cron, timezone="UTC", slug="cron", active="cron" not in off))
    words = {
        "monitor": "Checks each task that is served for drift and quality.",
        "retrain": "Decides about retraining, and does it when the answer is yes.",
    }[flow]
    # By module, not by file: by file its folder would come first on the path.
    options = {"description": words, "tags": ["anneal"], "paused": is_paused, "enforce_parameter_schema": False}
    return RunnerDeployment.from_entrypoint(f"flows.scheduled_flows.{flow}", NAME, schedules=schedules, **options)


def forget_late_runs() -> int:
    """Delete runs that were due while nothing served: one decision now replaces all of them. Return their number."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import DeploymentFilter, FlowRunFilter

    with get_client(sync_client=True) as client:
        # Only due runs of a schedule; those that a person requested stay.
        due = FlowRunFilter(
            state={"type": {"any_": ["SCHEDULED"]}},
            expected_start_time={"before_": datetime.now(UTC)},
            tags={"all_": ["auto-scheduled"]},
        )
        late = client.read_flow_runs(flow_run_filter=due, deployment_filter=DeploymentFilter(name={"any_": [NAME]}))
        for run in late:
            client.delete_flow_run(run.id)
    return len(late)


def automations(deployments: list[str]) -> "list[Automation]":
    """Return the automations for runs of these deployments that never end, and for those that crash."""
    from prefect.automations import Automation, ChangeFlowRunState, RunDeployment

    return [
        Automation(
            name=SILENT,
            description="A run whose process was killed does not stay Running for ever.",
            trigger=_silence(deployments),
            actions=[
                ChangeFlowRunState(state="CRASHED", message="It gave no sign of life: its process was killed."),
            ],
        ),
        Automation(
            name=CRASHED,
            description="At most once an hour for each deployment; its schedule does the rest.",
            trigger=_crash(deployments),
            actions=[RunDeployment(source="inferred", schedule_after=timedelta(seconds=AGAIN_AFTER))],
        ),
    ]


def _silence(deployments: list[str]) -> "EventTrigger":
    """Return a trigger: neither a heartbeat nor an end within SILENCE of a run's last heartbeat."""
    from prefect.automations import EventTrigger, Posture

    ends = {f"prefect.flow-run.{state}" for state in ("Completed", "Failed", "Crashed", "Cancelled")}
    return EventTrigger(
        match=RUNS,
        match_related=_related(deployments),
        for_each={"prefect.resource.id"},
        posture=Posture.Proactive,
        threshold=1,
        within=timedelta(seconds=SILENCE),
        after={"prefect.flow-run.heartbeat"},
        expect={"prefect.flow-run.heartbeat", *ends},
    )


def _crash(deployments: list[str]) -> "EventTrigger":
    """Return a trigger: a crashed run, once for each deployment within AGAIN_WITHIN."""
    from prefect.automations import EventTrigger, Posture

    return EventTrigger(
        match=RUNS,
        match_related=_related(deployments),
        for_each={"related:deployment:prefect.resource.id"},
        posture=Posture.Reactive,
        threshold=1,
        within=timedelta(seconds=AGAIN_WITHIN),
        expect={"prefect.flow-run.Crashed"},
    )


def _related(deployments: list[str]) -> dict[str, str | list[str]]:
    return {
        "prefect.resource.role": "deployment",
        "prefect.resource.id": [f"prefect.deployment.{deployment}" for deployment in deployments],
    }


def automate(deployments: list[str]) -> None:
    """Create or update the automations on the server; one that a person disabled stays disabled."""
    from prefect.automations import Automation

    for automation in automations(deployments):
        try:
            known = Automation.read(name=automation.name)
        except ValueError:  # it does not exist
            automation.create()
            continue
        automation.id, automation.enabled = known.id, known.enabled
        automation.update()


def follow_commands(pause: float = 1.0) -> None:
    """Start a decision as soon as somebody asks for a retraining, a pause or a resume on the dashboard; never
    returns.
    """
    import httpx
    from prefect.exceptions import PrefectException
    from sqlalchemy.exc import SQLAlchemyError

    started: set[int] = set()
    engine: Engine | None = None
    while True:
        try:
            engine = engine or database.connect()
            start_requested(engine, started)
            engine.dispose()  # so that a replaced file is noticed
        except (AnnealError, SQLAlchemyError, PrefectException, httpx.HTTPError, OSError) as error:
            print(f"commands cannot be carried out now ({type(error).__name__})", flush=True)
            engine = None
            time.sleep(10 * pause)
        time.sleep(pause)


def start_requested(engine: Engine, started: set[int]) -> list[str]:
    """Start one run for each task with commands that are not in `started` yet; return the tasks."""
    from prefect.deployments import run_deployment

    from tasks.retrain import store

    new = [command for command in store.open_commands(engine) if command.id not in started]
    tasks = sorted({command.task for command in new})
    for task in tasks:
        run_deployment(f"retrain/{NAME}", parameters={"task": task}, timeout=0, as_subflow=False)
    started |= {command.id for command in new}
    return tasks


if __name__ == "__main__":
    sys.exit(edge.guarded(run))
