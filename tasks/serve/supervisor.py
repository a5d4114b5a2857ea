"""Starts, stops and queries the local servers through supervisord (supervisord.org), which outlives the terminal."""

import contextlib
import hashlib
import http.client
import os
import subprocess
import sys
import tempfile
import time
import xmlrpc.client
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from tasks import environment
from tasks.errors import AnnealError
from tasks.serve.params import Servers

if TYPE_CHECKING:
    from psutil import Process

CONFIG = Path("infra/local/supervisord.conf")
LOGS = Path(".anneal/logs")
RUNNING, ENDED = ("RUNNING", "STARTING", "BACKOFF"), ("FATAL", "EXITED", "STOPPED")  # supervisord's states


def run_folder() -> Path:
    """A private folder for the sockets of this checkout: a Unix socket's path may have about 100 characters, a
    checkout's more.
    """
    name = hashlib.sha256(str(Path.cwd()).encode()).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"anneal-{os.getuid()}-{name}"


def make_run_folder() -> Path:
    """The run folder, which is there now; AnnealError if others can look into it."""
    folder = run_folder()
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid() or folder.stat().st_mode & 0o077:
        raise AnnealError(f"{folder} belongs to someone else or is open to others: remove it and run again.")
    return folder


def _proxy() -> Any:  # its methods are the other side's, and their answers are as it sends them
    from supervisor.xmlrpc import SupervisorTransport

    socket = f"unix://{run_folder() / 'supervisor.sock'}"
    return xmlrpc.client.ServerProxy("http://localhost", transport=SupervisorTransport(None, None, socket)).supervisor


def is_up() -> bool:
    """True when this checkout's supervisord answers."""
    try:
        return bool(_proxy().getState()["statename"] == "RUNNING")
    except (OSError, xmlrpc.client.Error):
        return False


def is_external() -> bool:
    """True if another program runs the servers from their state files (ANNEAL_SLOTS=external: in containers,
    infra/images/slots.py).
    """
    return os.environ.get("ANNEAL_SLOTS") == "external"


def ensure(servers: Servers) -> None:
    """Start supervisord for this checkout; one that runs already reads the changes to its configuration."""
    if is_external():
        return
    if is_up():
        _follow_configuration()
        return
    folder = make_run_folder()
    LOGS.mkdir(parents=True, exist_ok=True)
    variables = {
        "ANNEAL_HOME": str(Path.cwd()),
        "ANNEAL_RUN": str(folder),
        "ANNEAL_PYTHON": sys.executable,
        "ANNEAL_PREFECT_PORT": str(servers.prefect_port),
        "ANNEAL_MLFLOW_PORT": str(servers.mlflow_port),
        "PREFECT_HOME": environment.prefect_home(),
    }
    done = subprocess.run(
        [sys.executable, "-m", "supervisor.supervisord", "-c", str(CONFIG)],
        env=os.environ | {name: value.replace("%", "%%") for name, value in variables.items()},
        capture_output=True,
        text=True,
        start_new_session=True,
    )
    if done.returncode:
        raise AnnealError(
            f"the supervisor did not start: {(done.stderr or done.stdout).strip().splitlines()[-1:]}; see "
            f"{LOGS / 'supervisord.log'}."
        )
    _wait(is_up, 10, "the supervisor does not answer")


def _follow_configuration() -> None:
    """What `supervisorctl update` does, but programs that are still asked for run on as they are."""
    [[added, _, removed]] = _proxy().reloadConfig()
    for group in removed:
        _proxy().stopProcessGroup(group, True)
        _proxy().removeProcessGroup(group)
    for group in added:
        _proxy().addProcessGroup(group)


def start(program: str) -> None:
    """Start `program` unless it runs."""
    if status(program) not in RUNNING:
        _proxy().startProcess(program, False)


def stop(program: str) -> None:
    """Stop `program` and wait until it is gone; nothing happens when it does not run."""
    if is_up() and status(program) in RUNNING:
        _proxy().stopProcess(program, True)


def status(program: str) -> str:
    """supervisord's word for `program`: RUNNING, STARTING, BACKOFF, FATAL, EXITED or STOPPED; STOPPED without a
    supervisor.
    """
    return _info(program)["statename"]


def is_surely_stopped(program: str) -> bool:
    """Whether `program` is known not to run: its supervisor says so or does not know it, or there is none.

    False if the supervisor is shutting down or gives no answer: `status` is STOPPED then too, but may be wrong.
    """
    from supervisor.xmlrpc import Faults

    try:
        return bool(_proxy().getProcessInfo(program)["statename"] == "STOPPED")
    except (FileNotFoundError, ConnectionRefusedError):  # no socket, or nobody behind it
        return True
    except xmlrpc.client.Fault as fault:
        return bool(fault.faultCode == Faults.BAD_NAME)
    except (OSError, http.client.HTTPException, xmlrpc.client.Error):
        return False


def pid(program: str) -> int:
    """The process id of `program`, 0 when it does not run."""
    return _info(program)["pid"]


class _Info(TypedDict):
    """The fields of supervisord's process info that are read here."""

    statename: str
    pid: int


def _info(program: str) -> _Info:
    """supervisord's info on `program`; one that it does not know (its configuration is older) does not run."""
    if is_external():
        return _Info(statename="RUNNING", pid=0)
    try:
        known = _proxy().getProcessInfo(program)
        return _Info(statename=str(known["statename"]), pid=int(known["pid"]))
    except (OSError, xmlrpc.client.Error):
        return _Info(statename="STOPPED", pid=0)


def shut_down() -> None:
    """Stop every server of this checkout and the supervisor itself, and wait until they and all that they started
    are gone.
    """
    if not is_up():
        end_left_behind()
        return
    import psutil

    process = psutil.Process(_proxy().getPID())
    family = [process, *process.children(recursive=True)]
    _proxy().shutdown()
    _wait(lambda: all(map(_has_ended, family)), 60, "the servers do not end")
    end_left_behind()


def end_left_behind(program: str | None = None) -> None:
    """End what a killed `program` of this checkout (any, when not given) had started: its children live on and hold
    its port.
    """
    import psutil

    ours = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    left = []
    for process in psutil.process_iter():
        try:
            variables = process.environ()
        except (psutil.Error, OSError):  # another user's, or gone
            continue
        # a supervisor has none: another `make up` may be starting it just now
        name = variables.get("SUPERVISOR_PROCESS_NAME")
        is_left = variables.get("ANNEAL_RUN") == str(run_folder()) and name is not None and program in (None, name)
        left += [process] if is_left and process.pid not in ours else []
    for process in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    _wait(lambda: all(map(_has_ended, left)), 30, f"processes left behind by {program or 'the servers'} do not end")


def _has_ended(process: "Process") -> bool:
    import psutil

    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def last_words(program: str) -> str:
    """The last error in the log of `program`, or its last line, for a message."""
    log = LOGS / f"{program}.log"
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    errors = [line for line in lines[-200:] if "Error" in line or "error:" in line] or [
        line for line in lines if line.strip()
    ]
    return errors[-1].strip()[-200:] if errors else "it said nothing"


def _wait(done: Callable[[], bool], seconds: float, otherwise: str) -> None:
    end = time.monotonic() + seconds
    while not done():
        if time.monotonic() > end:
            raise AnnealError(f"{otherwise} after {seconds:.0f} s; see {LOGS}/.")
        time.sleep(0.1)
