"""Shows a run that finds nothing to do: the remarks and the summary of the last one, and a flow run in Prefect if a
server runs. It is reported over HTTP, since Prefect's own client takes seconds to import.
"""

from typing import TYPE_CHECKING

from flows import prefect_server
from flows.up_to_date import UpToDate
from tasks.errors import NotPromoted
from tasks.serve.params import Servers

if TYPE_CHECKING:
    from httpx import Client

CACHED = {"type": "COMPLETED", "name": "Cached", "message": "nothing it depends on has changed"}
TIMEOUT = 5.0  # seconds


def show(result: UpToDate) -> None:
    """Print what any run prints at its end, and report it to Prefect; NotPromoted if the gate had refused."""
    from flows.summary_table import show as show_table

    last_run = result.last_run
    for line in last_run.remarks:
        print(line, flush=True)
    if url := prefect_server.choose(Servers(prefect_port=last_run.prefect_port)):
        report_to_prefect(url, last_run.asked.model, last_run.stages)
    show_table(last_run.asked.model, result.summary["stages"], result.summary)
    if failures := tuple(check["words"] for check in result.summary["gate"]["checks"] if not check["held"]):
        raise NotPromoted(last_run.asked.model, failures)


def report_to_prefect(url: str, model: str, stages: tuple[str, ...]) -> None:
    """Record a flow run of `model`, all `stages` cached, in the Prefect server at `url`. A failure is printed and stops
    nothing.
    """
    import httpx

    try:
        with httpx.Client(base_url=url.rstrip("/"), timeout=TIMEOUT) as client:
            _record(client, model, stages)
    except (httpx.HTTPError, ValueError, KeyError) as error:
        print(f"Prefect at {url} was not told of this run ({type(error).__name__})", flush=True)


def _record(client: "Client", model: str, stages: tuple[str, ...]) -> None:
    flow = _post(client, "/flows/", name="pipeline")
    about = {"name": f"pipeline {model}", "parameters": {"model": model}, "tags": [prefect_server.checkout_tag()]}
    run = _post(client, "/flow_runs/", flow_id=flow, **about, state={"type": "RUNNING"})
    for name in stages:  # one by one: the server's SQLite takes no two at once
        _post(client, "/task_runs/", flow_run_id=run, name=name, task_key=name, dynamic_key=name, state=CACHED)
    done = {"state": {"type": "COMPLETED", "message": "nothing to do"}}
    client.post(f"/flow_runs/{run}/set_state", json=done).raise_for_status()


def _post(client: "Client", path: str, **body: object) -> str:
    """Return the id of the object that the server created."""
    return str(client.post(path, json=body).raise_for_status().json()["id"])
