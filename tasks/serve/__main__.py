"""Runs the vLLM server that a slot asks for, under the supervisor, and leaves no process behind."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from tasks.errors import AnnealError
from tasks.serve import server_command, state, supervisor
from tasks.stage import die_with_parent, guarded

DIED = 3  # the exit status after which the supervisor starts the server again; 0 and 1 are final
PORT_PATIENCE = 30.0  # seconds that a predecessor's last processes may hold the port


def serve(slot: str) -> None:
    """Run vLLM until it ends, then end every process of its group; AnnealError when nothing is to be served.

    An API server that is killed cannot stop its engine, which would go on holding gigabytes and its port's model: the
    group (the supervisor makes one for each program) is what dies together. A server whose version has been verified
    is restarted when it dies; one on trial is not, since its deployment waits for it to end.
    """
    desired = state.read(slot)
    if desired is None:
        raise AnnealError("nothing is deployed yet: run `make pipeline` first.")
    _wait_for_port(desired.host, desired.port)
    temporary = _make_empty(supervisor.make_run_folder() / slot)
    server = subprocess.Popen(
        server_command.command(desired),
        env=os.environ | server_command.environment(desired) | {"TMPDIR": str(temporary)},
        preexec_fn=die_with_parent,
    )
    stopped: list[int] = []

    def stop(number: int, _: object) -> None:
        stopped.append(number)
        server.terminate()

    signal.signal(signal.SIGTERM, stop)
    server.wait()
    _end_group()
    shutil.rmtree(temporary, ignore_errors=True)  # what a process still holds goes at the next start
    now = state.read(slot)
    raise SystemExit(DIED if now and now.verified and not stopped else 0)


def _make_empty(folder: Path) -> Path:
    """`folder`, for the temporary files of a server: vLLM does not remove its sockets when it ends."""
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir()
    return folder


def _wait_for_port(host: str, port: int) -> None:
    end = time.monotonic() + PORT_PATIENCE
    while time.monotonic() < end:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
                return
            except OSError:
                time.sleep(0.2)


def _end_group() -> None:
    """End every other process of this process's group; never that of a shell which runs this manually."""
    import psutil

    if os.getpgrp() != os.getpid():
        return
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and os.getpgid(process.pid) == os.getpid():
                process.kill()
        except (psutil.Error, OSError):
            continue  # it ended by itself


if __name__ == "__main__":
    sys.exit(guarded(lambda: serve(sys.argv[1])))
