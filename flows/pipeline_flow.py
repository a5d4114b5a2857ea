"""The flow run of `make pipeline`: the DAG of dvc.yaml stage by stage, then gate, register, deploy, release and the
report, as Prefect shows them.
"""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from flows import dag, prefect_server
from flows.screen import Screen, logged
from flows.stage_failed import StageBroke
from flows.steps import Steps
from tasks.errors import NotPromoted, TransientError
from tasks.inference.engine.lifetime import Keeper, keeping

if TYPE_CHECKING:
    from prefect.states import State

Run = Callable[[str], object]  # a task run by the name of its stage or step
ANSWERING = ("baseline", "few_shot", "predict", "sample")  # stages that share a vLLM process with the gate
NEEDS_GPU = ("train", "deploy")  # which may need the whole GPU
STEPS = ("gate", "register", "deploy", "release", "report")


def run(steps: Steps, screen: Screen) -> None:
    """Run the flow `pipeline <model>`; NotPromoted if the gate refuses."""
    from prefect import flow

    model = steps.name

    @flow(name="pipeline", flow_run_name=f"pipeline {model}", validate_parameters=False, persist_result=False)
    def pipeline(model: str) -> None:
        prefect_server.mark_killed_runs_crashed()
        for name in dag.stages(f"package@{model}"):
            stage(name)
        for name in ("gate", "register"):
            step(name)
        if steps.verdict.passed and not steps.held_back:
            step("deploy")
            step("release")
        step("report")
        if not steps.verdict.passed:
            raise NotPromoted(model, steps.verdict.failures)

    prefect_server.silence_tracebacks()
    with prefect_server.runs(), logged(screen), keeping() as keeper:
        stage, step = _task_runs(steps, screen, keeper)
        pipeline(model)


def _task_runs(steps: Steps, screen: Screen, keeper: Keeper) -> tuple[Run, Run]:
    """Return (stage, step): the two kinds of task run, named for their stage or step, and retried after a
    TransientError.
    """
    from prefect.logging import get_run_logger
    from prefect.states import Completed

    from flows import artifacts

    retried = _retried()

    def finished(name: str, ran: bool, started: float) -> "State":
        steps.note(name, ran, time.monotonic() - started)
        screen.end(_timing_name(name, steps.name), ran)
        return Completed(
            name="Completed" if ran else "Cached", message="ran" if ran else "nothing it depends on has changed"
        )

    @retried
    def stage(name: str) -> "State":
        started = time.monotonic()
        screen.begin(name)
        hold_or_release(keeper, name.partition("@")[0])
        ran = not dag.is_up_to_date(name) and _run_stage(name, screen, get_run_logger().info)
        artifacts.publish(name)
        return finished(name, ran, started)

    @retried
    def step(name: str) -> "State":
        started = time.monotonic()
        screen.begin(_timing_name(name, steps.name))
        hold_or_release(keeper, name)
        ran = getattr(steps, name)()
        if name == "gate":
            artifacts.publish_verdict(steps.name, steps.verdict)
        return finished(name, ran, started)

    return stage, step


def hold_or_release(keeper: Keeper, name: str) -> None:
    """Keep vLLM's process from the first stage that may start one, and end it before one that may need the whole
    GPU.
    """
    if name in ANSWERING:
        keeper.hold()
    elif name in NEEDS_GPU:
        keeper.let_go()


def _timing_name(name: str, model: str) -> str:
    """Return the name of a stage, or of a step with its model, for its timing."""
    return name if "@" in name else f"{name}@{model}"


def _run_stage(stage: str, screen: Screen, log_in_prefect: Callable[[str], None]) -> bool:
    """Run a stage; its output goes to Prefect and to the screen."""

    def take_line(line: str) -> None:
        log_in_prefect(line)
        screen.hear(line)

    try:
        return dag.run(stage, take_line)
    except StageBroke:
        screen.fail()
        raise


def _retried() -> "Callable[[Callable[[str], State]], Run]":
    """Return the decorator of task runs: named for their stage or step, never cached, retried after a
    TransientError.
    """
    from prefect import task
    from prefect.cache_policies import NO_CACHE

    def may_pass(_task: object, _run: object, state: "State") -> bool:
        return isinstance(state.result(raise_on_failure=False), TransientError)

    retried: Callable[[Callable[[str], State]], Run] = task(
        task_run_name="{name}",
        cache_policy=NO_CACHE,
        persist_result=False,
        retries=2,
        retry_delay_seconds=5,
        retry_condition_fn=may_pass,
    )
    return retried
