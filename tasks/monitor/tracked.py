"""The figures of checks as metrics in MLflow, one run a version; a tracking server that is away costs the metrics,
never the check.
"""

import re
import sys
from typing import TYPE_CHECKING

from tasks import tracking
from tasks.errors import AnnealError

if TYPE_CHECKING:
    from tasks.monitor.check import Check


def log(found: "Check") -> bool:
    """Add the figures and evidence of a check to the run `monitor <task>@<version>`; False, with a line on stderr,
    when MLflow does not take them.
    """
    try:
        client = tracking.client()
    except AnnealError as error:
        print(f"monitor: the figures are not in MLflow: {error}", file=sys.stderr, flush=True)
        return False
    from mlflow.entities import Metric
    from mlflow.exceptions import MlflowException

    name = f"monitor {found.task}@{found.version}"
    try:
        runs = client.search_runs(
            [tracking.experiment_id(client)],
            f"tags.monitored_artifact = '{found.artifact}' and tags.monitored_task = '{found.task}'",
            max_results=1,
        )
        tags = {"monitored_task": found.task, "monitored_artifact": found.artifact}
        run = (
            runs[0].info.run_id
            if runs
            else client.create_run(tracking.experiment_id(client), run_name=name, tags=tags).info.run_id
        )
        values = {
            **found.figures,
            **{f"evidence {what}": value for what, value in found.evidence.items()},
            "alarm": float(found.alarm),
            "requests": float(found.requests),
        }
        at = round(found.at * 1000)
        client.log_batch(
            run, [Metric(re.sub(r"[^\w ./-]", "_", key), value, at, round(found.at)) for key, value in values.items()]
        )
    except MlflowException as error:
        print(
            f"monitor: the figures are not in MLflow ({' '.join(str(error).split())[:160]}).",
            file=sys.stderr,
            flush=True,
        )
        return False
    return True
