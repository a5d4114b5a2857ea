"""One flow run per `make pipeline`: the DAG of dvc.yaml stage by stage, then gate, register, deploy, release and the
report.
"""

import argparse
import logging
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from flows import dag, server
from tasks import params as settings
from tasks import snapshot, tracking
from tasks import stage as edge
from tasks.errors import NotPromoted, TransientError
from tasks.preflight import checks

PIPELINE_LOCK = Path(".anneal/pipeline.lock")
GRACE = 5.0  # seconds after Ctrl-C


def run(model: str) -> None:
    """Take the row `model` and everything above it to production; AnnealError with the reasons when it does not get
    there.
    """
    params = checks.ready(model, lambda line: print(line, flush=True))
    dag.check_lock()
    for name in checks.datasets_of(params, model):
        if params.datasets[name].snapshot:
            dag.keep(snapshot.place(name))
    tracking.check()
    from tasks.serve import supervisor

    supervisor.refuse_taken_port(params.deploy.port, "vllm-a", "deploy.port")
    with _only_one():
        url = server.choose(params.servers)
        if url is None:
            print("no Prefect server is running (`make up` starts one); this run uses an ephemeral one", flush=True)
        _run_flow(params, model)


def _only_one() -> Any:
    """The lock of this checkout's pipeline; a second run waits and says so. The kernel lets go of it when its holder
    dies.
    """
    from filelock import FileLock, Timeout

    PIPELINE_LOCK.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(PIPELINE_LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print(
            "another `make pipeline` is running in this checkout; waiting for it to end, then using what it made",
            flush=True,
        )
        lock.acquire()
    return lock


def _run_flow(params: settings.Params, model: str) -> None:
    from prefect import flow

    from flows.steps import Steps

    steps = Steps(params, model)
    stage, step = _task_runs(steps)

    @flow(name="pipeline", flow_run_name=f"pipeline {model}", validate_parameters=False, persist_result=False)
    def pipeline(model: str) -> None:
        server.bury_killed_runs()
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

    server.silence_tracebacks()
    try:
        with server.runs():
            pipeline(model)
    finally:
        steps.show()


def _task_runs(steps: Any) -> tuple[Any, Any]:
    """(stage, step): the two kinds of task run, each named for what it does, retried where a server or a hub did not
    answer.
    """
    from prefect.logging import get_run_logger
    from prefect.states import Completed

    from flows import artifacts

    retried = _retried()

    def finished(name: str, ran: bool, started: float) -> Any:
        steps.note(name, "ran" if ran else "cached", time.monotonic() - started)
        return Completed(
            name="Completed" if ran else "Cached", message="ran" if ran else "nothing it depends on has changed"
        )

    @retried
    def stage(name: str) -> Any:
        started = time.monotonic()
        ran = not dag.is_up_to_date(name) and dag.run(name, get_run_logger().info)
        artifacts.publish(name)
        return finished(name, ran, started)

    @retried
    def step(name: str) -> Any:
        started = time.monotonic()
        ran = getattr(steps, name)()
        if name == "gate":
            artifacts.publish_verdict(steps.name, steps.verdict)
        return finished(name, ran, started)

    return stage, step


def _retried() -> Any:
    """The decorator of task runs: named for what they do, never cached, tried again after a TransientError."""
    from prefect import task
    from prefect.cache_policies import NO_CACHE

    def may_pass(_task: object, _run: object, state: Any) -> bool:
        return isinstance(state.result(raise_on_failure=False), TransientError)

    return task(
        task_run_name="{name}",
        cache_policy=NO_CACHE,
        persist_result=False,
        retries=2,
        retry_delay_seconds=5,
        retry_condition_fn=may_pass,
    )


def _leave_soon(*_: object) -> None:
    """On Ctrl-C: stop as usual, but within seconds. An ephemeral server got the signal too, and Prefect would wait
    for its answer, holding our lock.
    """

    def leave() -> None:
        print(f"error: {edge.STOPPED}", file=sys.stderr, flush=True)
        os._exit(130)  # the stage ends with us; the next run marks this one as crashed

    logging.disable(logging.CRITICAL)
    timer = threading.Timer(GRACE, leave)
    timer.daemon = True
    timer.start()
    raise KeyboardInterrupt


def main() -> None:
    """`python -m flows.pipeline triage`."""
    signal.signal(signal.SIGINT, _leave_soon)
    parser = argparse.ArgumentParser(prog="python -m flows.pipeline", description=run.__doc__)
    parser.add_argument("model", help="a row of `models` in params.yaml")
    options = parser.parse_args()
    sys.exit(edge.guarded(lambda: run(options.model)))


if __name__ == "__main__":
    main()
