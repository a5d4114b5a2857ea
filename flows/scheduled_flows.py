"""The entrypoints of the flows that Prefect starts itself, `monitor` and `retrain`. Importing this imports Prefect."""

import os
import signal
import threading
import time

from flows.monitor import monitor_flow
from flows.prefect_server import silence_tracebacks
from flows.retrain import retrain_flow
from tasks import environment


def end_with_parent(*_: object) -> None:
    """Let a run end with the process that serves it, so that `make down` leaves nothing behind; the next run closes
    what stays open.
    """
    environment.apply()
    silence_tracebacks()
    threading.Thread(target=_follow, args=(os.getppid(),), daemon=True).start()


def _follow(parent: int) -> None:
    """Wait until `parent` is gone, then end this run's children, and itself as Prefect would: the run is marked as
    crashed.
    """
    import psutil

    while os.getppid() == parent:
        time.sleep(1)
    for process in psutil.Process().children(recursive=True):
        process.terminate()
    os.kill(os.getpid(), signal.SIGTERM)


monitor = monitor_flow().with_options(on_running=[end_with_parent])
retrain = retrain_flow().with_options(on_running=[end_with_parent])
