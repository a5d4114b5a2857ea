"""Logs the figures of checks to MLflow, one run per version; if its server is down, only the metrics are lost."""

import re
import sys
from typing import TYPE_CHECKING

from tasks.errors import AnnealError
from tasks.versions import tracking

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

    from tasks.monitor.checks_table import MonitorCheck


def log(check: "MonitorCheck") -> bool:
    """Log the figures and evidence of a check to the run `monitor <task>@<version>`; False, with a line on stderr, if
    MLflow fails.
    """
    try:
        client = tracking.client()
    except AnnealError as error:
        print(f"monitor: the figures are not in MLflow: {error}", file=sys.stderr, flush=True)
        return False
    from mlflow.exceptions import MlflowException

    try:
        client.log_batch(_run_id(client, check), _metrics(check))
    except MlflowException as error:
        words = " ".join(str(error).split())[:160]
        print(f"monitor: the figures are not in MLflow ({words}).", file=sys.stderr, flush=True)
        return False
    return True


def _run_id(client: "MlflowClient", check: "MonitorCheck") -> str:
    """Return the id of the checked version's run, created if it does not exist."""
    experiment = tracking.experiment_id(client)
    runs = client.search_runs(
        [experiment],
        f"tags.monitored_artifact = '{check.artifact}' and tags.monitored_task = '{check.task}'",
        max_results=1,
    )
    if runs:
        return str(runs[0].info.run_id)
    tags = {"monitored_task": check.task, "monitored_artifact": check.artifact}
    run = client.create_run(experiment, run_name=f"monitor {check.task}@{check.version}", tags=tags)
    return str(run.info.run_id)


def _metrics(check: "MonitorCheck") -> "list[Metric]":
    from mlflow.entities import Metric

    values = {
        **check.figures,
        **{f"evidence {name}": value for name, value in check.evidence.items()},
        "alarm": float(check.alarm),
        "requests": float(check.requests),
    }
    at, step = round(check.at * 1000), round(check.at)
    return [Metric(re.sub(r"[^\w ./-]", "_", key), value, at, step) for key, value in values.items()]
