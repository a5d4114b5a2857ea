"""The figures of checks as metrics in MLflow, one run per version; if the tracking server is down, the metrics are
lost, never the check.
"""

import re
import sys
from typing import TYPE_CHECKING

from tasks.errors import AnnealError
from tasks.versions import tracking

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

    from tasks.monitor.checks_table import Check


def log(check: "Check") -> bool:
    """Add the figures and evidence of a check to the run `monitor <task>@<version>`; False, with a line on stderr,
    when MLflow does not take them.
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


def _run_id(client: "MlflowClient", check: "Check") -> str:
    """The run of the checked version, created if there is none."""
    experiment = tracking.experiment_id(client)
    runs = client.search_runs(
        [experiment],
        f"tags.monitored_artifact = '{check.artifact}' and tags.monitored_task = '{check.task}'",
        max_results=1,
    )
    if runs:
        return str(runs[0].info.run_id)
    tags = {"monitored_task": check.task, "monitored_artifact": check.artifact}
    made = client.create_run(experiment, run_name=f"monitor {check.task}@{check.version}", tags=tags)
    return str(made.info.run_id)


def _metrics(check: "Check") -> "list[Metric]":
    from mlflow.entities import Metric

    values = {
        **check.figures,
        **{f"evidence {name}": value for name, value in check.evidence.items()},
        "alarm": float(check.alarm),
        "requests": float(check.requests),
    }
    at, step = round(check.at * 1000), round(check.at)
    return [Metric(re.sub(r"[^\w ./-]", "_", key), value, at, step) for key, value in values.items()]
