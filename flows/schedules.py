"""Serves the flows on their schedules, starts what people ask for at once, and repeats what crashed: `python -m
flows.schedules`.
"""

import os
import sys
import threading
import time
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Any

from flows import server
from tasks import database
from tasks import params as settings
from tasks import stage as edge
from tasks.errors import AnnealError, TransientError

NAME = "every"  # of both deployments
LIMIT = 4  # runs at once; a retraining takes hours, and decisions and checks go on beside it
HEARTBEAT, SILENCE = 30, 100  # seconds between signs of life of a run; of silence after which it counts as killed
AGAIN_AFTER, AGAIN_WITHIN = 60, 3600  # seconds: a crashed run is repeated after a minute, at most once an hour
SILENT, CRASHED = "anneal: a silent run has crashed", "anneal: a crashed run is repeated"


def run() -> None:
    """Serve monitor and retrain until stopped; waits for the Prefect server as long as it takes."""
    params = settings.load()
    prepare(params)
    from prefect import serve

    deployments = [deployment(params, flow, *paused(flow)) for flow in ("monitor", "retrain")]
    ids = [str(found.apply()) for found in deployments]
    forget_late_runs()
    automate(ids)
    threading.Thread(target=follow_commands, daemon=True).start()
    serve(*deployments, pause_on_shutdown=False, print_starting_message=False, limit=LIMIT)


def prepare(params: settings.Params) -> None:
    """Set Prefect up for this process and the runs it starts, once its server answers."""
    os.environ.setdefault("PREFECT_API_URL", f"http://127.0.0.1:{params.servers.prefect_port}/api")
    os.environ.setdefault("PREFECT_FLOWS_HEARTBEAT_FREQUENCY", str(HEARTBEAT))
    said = False
    while True:
        try:
            server.choose(params.servers)
            return
        except TransientError as error:
            if not said:
                print(f"{error} Waiting for it.", flush=True)
            said = True
            time.sleep(1)


def paused(flow: str) -> tuple[bool, set[str]]:
    """Whether a person has paused the deployment `flow/every`, and which of its schedules: applied anew, it would
    forget both.
    """
    from prefect.client.orchestration import get_client
    from prefect.exceptions import ObjectNotFound

    with get_client(sync_client=True) as client:
        try:
            known = client.read_deployment_by_name(f"{flow}/{NAME}")
        except ObjectNotFound:
            return False, set()
    return known.paused, {schedule.slug for schedule in known.schedules if not schedule.active}


def deployment(params: settings.Params, flow: str, is_paused: bool = False, off: Collection[str] = ()) -> Any:
    """The deployment `flow/every` with its schedules, of which those in `off` are paused."""
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
    more = {"description": words, "tags": ["anneal"], "paused": is_paused, "enforce_parameter_schema": False}
    return RunnerDeployment.from_entrypoint(f"flows.deployed.{flow}", NAME, schedules=schedules, **more)


def forget_late_runs() -> int:
    """Delete runs that were due while nobody served: one decision now says as much as all of them. Returns their
    number.
    """
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import DeploymentFilter, FlowRunFilter

    with get_client(sync_client=True) as client:
        # Scheduled by their schedule and due; what a person asked for stays.
        due = FlowRunFilter(
            state={"type": {"any_": ["SCHEDULED"]}},
            expected_start_time={"before_": datetime.now(UTC)},
            tags={"all_": ["auto-scheduled"]},
        )
        late = client.read_flow_runs(flow_run_filter=due, deployment_filter=DeploymentFilter(name={"any_": [NAME]}))
        for found in late:
            client.delete_flow_run(found.id)
    return len(late)


def automations(deployments: list[str]) -> list[Any]:
    """What Prefect's server does about runs of these deployments that come to no end, and about those that crash."""
    from prefect.automations import Automation, ChangeFlowRunState, EventTrigger, Posture, RunDeployment

    ends = {f"prefect.flow-run.{state}" for state in ("Completed", "Failed", "Crashed", "Cancelled")}
    ours = {
        "prefect.resource.role": "deployment",
        "prefect.resource.id": [f"prefect.deployment.{found}" for found in deployments],
    }
    runs = {"prefect.resource.id": "prefect.flow-run.*"}
    silent = EventTrigger(
        match=runs,
        match_related=ours,
        for_each={"prefect.resource.id"},
        posture=Posture.Proactive,
        threshold=1,
        within=timedelta(seconds=SILENCE),
        after={"prefect.flow-run.heartbeat"},
        expect={"prefect.flow-run.heartbeat", *ends},
    )
    crashed = EventTrigger(
        match=runs,
        match_related=ours,
        for_each={"related:deployment:prefect.resource.id"},
        posture=Posture.Reactive,
        threshold=1,
        within=timedelta(seconds=AGAIN_WITHIN),
        expect={"prefect.flow-run.Crashed"},
    )
    gone = ChangeFlowRunState(state="CRASHED", message="It gave no sign of life: its process was killed.")
    again = RunDeployment(source="inferred", schedule_after=timedelta(seconds=AGAIN_AFTER))
    return [
        Automation(
            name=SILENT,
            description="A run whose process was killed does not stay Running for ever.",
            trigger=silent,
            actions=[gone],
        ),
        Automation(
            name=CRASHED,
            description="At most once an hour for each deployment; its schedule does the rest.",
            trigger=crashed,
            actions=[again],
        ),
    ]


def automate(deployments: list[str]) -> None:
    """Put the automations on the server: made when they are not there, brought up to date when they are; one that a
    person disabled stays so.
    """
    from prefect.automations import Automation

    for wanted in automations(deployments):
        try:
            known = Automation.read(name=wanted.name)
        except ValueError:  # there is none of this name
            wanted.create()
            continue
        wanted.id, wanted.enabled = known.id, known.enabled
        wanted.update()


def follow_commands(pause: float = 1.0) -> None:
    """Start a decision as soon as somebody asks for a retraining, a pause or its end on the dashboard; never
    returns.
    """
    import httpx
    from prefect.exceptions import PrefectException
    from sqlalchemy.exc import SQLAlchemyError

    seen, engine = set(), None
    while True:
        try:
            engine = engine or database.connect()
            start_asked(engine, seen)
            engine.dispose()  # a file that was put in its place is seen
        except (AnnealError, SQLAlchemyError, PrefectException, httpx.HTTPError, OSError) as error:
            print(f"commands cannot be carried out now ({type(error).__name__})", flush=True)
            engine = None
            time.sleep(10 * pause)
        time.sleep(pause)


def start_asked(engine: Any, seen: set[int]) -> list[str]:
    """Start one run for each task with commands that are not in `seen` yet; the tasks."""
    from prefect.deployments import run_deployment

    from tasks.retrain import records

    new = [command for command in records.open_commands(engine) if command["id"] not in seen]
    tasks = sorted({command["task"] for command in new})
    for task in tasks:
        run_deployment(f"retrain/{NAME}", parameters={"task": task}, timeout=0, as_subflow=False)
    seen |= {command["id"] for command in new}
    return tasks


if __name__ == "__main__":
    sys.exit(edge.guarded(run))
