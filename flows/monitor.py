"""One flow run per check: checks each served task and shows the result in the Prefect UI."""

import argparse
import sys
import time
from typing import TYPE_CHECKING

from flows import prefect_server
from tasks import params as settings
from tasks import stage as edge
from tasks.errors import AnnealError
from tasks.monitor.check import check
from tasks.monitor.checks_table import MonitorCheck
from tasks.records import database
from tasks.serve import routes

if TYPE_CHECKING:
    from prefect import Flow


def monitor_flow() -> "Flow[[str | None], None]":
    """Return the Prefect flow `monitor(task=None)`: one task run per model task; all served ones by default."""
    from prefect import flow, task
    from prefect.cache_policies import NO_CACHE

    @task(name="check", task_run_name="check {name}", cache_policy=NO_CACHE, persist_result=False)
    def check_version(name: str, target: routes.Target, params: settings.Params) -> MonitorCheck:
        from tasks.monitor.tracked import log

        engine = database.connect()
        try:
            outcome = check(engine, name, target, params.monitor, time.time())
        finally:
            engine.dispose()
        log(outcome)
        publish(outcome)
        return outcome

    @flow(name="monitor", flow_run_name="monitor {task}", validate_parameters=False, persist_result=False)
    def monitor(task: str | None = None) -> None:
        params = settings.load()
        for name, target in champions(routes.read(), task).items():
            show(check_version(name, target, params))

    return monitor


def champions(table: routes.Table, task: str | None) -> dict[str, routes.Target]:
    """Return the champion of `task`, or of each task that has one; AnnealError if `task` has none."""
    served = {name: entry.targets["champion"] for name, entry in table.tasks.items() if "champion" in entry.targets}
    if task is None:
        return served
    if task not in served:
        known = (
            f"there are: {', '.join(served)}" if served else "nothing is served yet (`make up`, then `make pipeline`)"
        )
        raise AnnealError(f"{routes.TABLE} has no champion of the task `{task}`; {known}.")
    return {task: served[task]}


def publish(outcome: MonitorCheck) -> None:
    """Publish the artifact `monitor-<task>`: verdict, reasons, figures and the report's path."""
    from prefect.artifacts import create_markdown_artifact

    create_markdown_artifact(
        markdown(outcome),
        key=f"monitor-{outcome.task}".replace("_", "-").lower(),
        description=f"monitor of {outcome.task}, version {outcome.version}",
    )


def markdown(outcome: MonitorCheck) -> str:
    """Return a check as markdown for the UI."""
    reasons = "\n".join(f"- {reason}" for reason in outcome.reasons) or "- nothing has changed"
    evidence = "\n".join(
        f"| {group} | 10^{value:.1f} |" for group, value in sorted(outcome.evidence.items(), key=lambda item: -item[1])
    )
    numbers = "\n".join(f"| {name} | {value:.4g} |" for name, value in outcome.figures.items())
    report = f"Report: `{outcome.report}`" if outcome.report else "No report."
    return (
        f"## {outcome.task}, version {outcome.version}: {'alarm' if outcome.alarm else 'no alarm'}\n\n{reasons}\n\n"
        f"{outcome.requests} requests checked for the first time. {report}\n\n| what | evidence |\n|---|---|\n"
        f"{evidence}\n\n| figure | value |\n|---|---|\n{numbers}\n"
    )


def show(outcome: MonitorCheck) -> None:
    """Print the result of a check in a few lines."""
    print(
        f"{outcome.task}, version {outcome.version}: {'ALARM' if outcome.alarm else 'no alarm'} "
        f"({outcome.requests} new requests)",
        flush=True,
    )
    for reason in outcome.reasons:
        print(f"  {reason}", flush=True)
    if outcome.report:
        print(f"  report: {outcome.report}", flush=True)


def run(task: str | None) -> None:
    """Check `task`, or every task that is served, for drift and quality now."""
    params = settings.load()
    champions(routes.read(), task)
    if prefect_server.choose(params.servers) is None:
        print("no Prefect server is running (`make up` starts one); this run uses an ephemeral one", flush=True)
    prefect_server.silence_tracebacks()
    with prefect_server.runs():
        monitor_flow()(task)


def main() -> None:
    """`python -m flows.monitor [triage]`."""
    parser = argparse.ArgumentParser(prog="python -m flows.monitor", description=run.__doc__)
    parser.add_argument("model", nargs="?", help="a model that is served; all of them by default")
    options = parser.parse_args()
    sys.exit(edge.guarded(lambda: run(options.model)))


if __name__ == "__main__":
    main()
