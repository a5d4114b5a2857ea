"""Chooses the Prefect server of a run and cleans up after killed runs. Importing it does not import Prefect."""

import hashlib
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tasks import environment
from tasks.errors import AnnealError, TransientError
from tasks.serve.params import Servers


def choose(servers: Servers) -> str | None:
    """Set Prefect up before it is imported; return the address of the server, or None for an ephemeral one.

    In order: `PREFECT_API_URL` if it is set, the server of `make up` if it runs, an ephemeral one.
    Raises TransientError if a configured server does not answer, AnnealError if its version is another.
    """
    os.environ["PREFECT_HOME"] = environment.prefect_home()
    os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "120")
    # An ephemeral server would print every busy moment of SQLite.
    os.environ.setdefault("PREFECT_LOGGING_SERVER_LEVEL", "CRITICAL")
    os.environ.setdefault("PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW", "ignore")
    url = os.environ.get("PREFECT_API_URL")
    if url:
        _check_server(url)
        return url
    from tasks.serve import supervisor

    local = f"http://127.0.0.1:{servers.prefect_port}/api"
    if supervisor.status("prefect") == "RUNNING":
        _check_server(local)
        os.environ["PREFECT_API_URL"] = local
        return local
    _refuse_full_disk(Path(environment.prefect_home()))
    return None


MIN_FREE = 32  # MiB, for the database of an ephemeral server and what a run writes beside it


def _refuse_full_disk(home: Path) -> None:
    """Raise AnnealError if an ephemeral server could not write its database: it would time out after two minutes
    without naming the disk.
    """
    existing = next(folder for folder in (home, *home.parents) if folder.exists())
    if (free := shutil.disk_usage(existing).free // 2**20) < MIN_FREE:
        raise AnnealError(
            f"only {free} MiB are free on the disk of {home}, and Prefect's server needs {MIN_FREE}: free some "
            "(`dvc gc -w` clears the cache) and run again."
        )


def _check_server(url: str) -> None:
    from importlib.metadata import version

    import httpx

    try:
        answer = httpx.get(f"{url.rstrip('/')}/admin/version", timeout=10)
        answer.raise_for_status()
        served = answer.json()
    except (httpx.HTTPError, ValueError) as error:
        raise TransientError(
            f"the Prefect server at {url} does not answer ({type(error).__name__}): start it (`make up`), or unset "
            "PREFECT_API_URL."
        ) from None
    if str(served).split(".")[:2] != version("prefect").split(".")[:2]:
        raise AnnealError(
            f"the Prefect server at {url} is version {served}, this client is {version('prefect')}: use a server of "
            "the same minor version."
        )


def checkout_tag() -> str:
    """Return the tag of this checkout's flow runs."""
    return "checkout:" + hashlib.sha256(str(Path.cwd()).encode()).hexdigest()[:12]


def mark_killed_runs_crashed() -> int:
    """Mark this checkout's pipelines as Crashed that are Running though nothing runs them (the caller holds the lock);
    return their number.
    """
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowFilter, FlowRunFilter
    from prefect.runtime import flow_run
    from prefect.states import Crashed

    with get_client(sync_client=True) as client:
        unfinished = FlowRunFilter(tags={"all_": [checkout_tag()]}, state={"type": {"any_": ["RUNNING", "PENDING"]}})
        runs = client.read_flow_runs(flow_run_filter=unfinished, flow_filter=FlowFilter(name={"any_": ["pipeline"]}))
        dead = [run for run in runs if str(run.id) != flow_run.id]  # called from within a flow run
        for run in dead:
            client.set_flow_run_state(
                run.id,
                Crashed(message="The process was killed; a later run of this checkout found it gone."),
                force=True,
            )
    _end_orphaned_servers()
    return len(dead)


def _end_orphaned_servers() -> None:
    """End ephemeral servers of this checkout whose flow was killed: they have no parent left."""
    import psutil

    for process in psutil.process_iter(["ppid", "cmdline", "uids"]):
        command = process.info["cmdline"] or []
        if (
            process.info["ppid"] != 1
            or not any("prefect.server.api.server" in word for word in command)
            or process.info["uids"].real != os.getuid()
        ):
            continue
        try:
            if (
                process.environ().get("PREFECT_HOME") == os.environ["PREFECT_HOME"]
                and "ANNEAL_RUN" not in process.environ()
            ):  # not the one of `make up`
                process.terminate()
        except psutil.Error:
            continue  # it ended by itself


@contextmanager
def runs() -> Iterator[None]:
    """Give flow runs in the block this checkout's tag; TransientError if an ephemeral server does not start."""
    from prefect import tags

    try:
        with tags(checkout_tag()):
            yield
    except RuntimeError as error:
        if "ephemeral Prefect API server" not in str(error):
            raise
        raise TransientError(
            "Prefect's ephemeral server did not answer in time: the machine is too busy, or its disk is full; run "
            "again, or start a server with `make up`."
        ) from None


def silence_tracebacks() -> None:
    """Make Prefect print a user's mistake as a sentence, without a traceback."""
    for name in ("prefect", "prefect.flow_runs", "prefect.task_runs", "prefect.engine"):
        logging.getLogger(name).addFilter(UserErrorFilter())


class UserErrorFilter(logging.Filter):
    """Removes the traceback of a user's mistake, and the ephemeral server's last line."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Strip the traceback of a user's mistake; False for the ephemeral server's last line."""
        if record.exc_info and isinstance(record.exc_info[1], AnnealError | KeyboardInterrupt):
            record.exc_info = record.exc_text = None
        return not record.getMessage().startswith("Stopping temporary server")
