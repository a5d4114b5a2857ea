"""`make pipeline`: the DAG of dvc.yaml and the steps after it, in one flow run; if nothing has changed since a run that
had nothing left to do, its summary again.
"""

import argparse
import logging
import os
import signal
import sys
import threading
from contextlib import AbstractContextManager
from pathlib import Path

from flows import cached_run, up_to_date
from flows.screen import Screen
from flows.up_to_date import UpToDate
from tasks import stage as edge
from tasks.locks import hold_lock

PIPELINE_LOCK = Path(".anneal/pipeline.lock")
LOGS = Path(".anneal/logs")
RUNNING = "another run is in progress"
GRACE = 5.0  # seconds after Ctrl-C


def run(model: str) -> None:
    """Take the row `model` and everything above it to production; AnnealError with the reasons when it does not get
    there.
    """
    with Screen() as screen:
        _run(model, screen)


def run_or_tell(model: str) -> None:
    """The same, in two seconds where there is nothing to do."""
    with Screen() as screen:
        screen.begin("checking what has changed")
        result = _check(model)
        if not isinstance(result, UpToDate):
            return _run(model, screen, f"something to do: {result}" if result else RUNNING)
    cached_run.show(result)


def _check(model: str) -> UpToDate | str | None:
    """What up_to_date.check says; None while another run is in progress."""
    from filelock import FileLock, Timeout

    PIPELINE_LOCK.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(PIPELINE_LOCK, timeout=0):
            return up_to_date.check(model)
    except Timeout:
        return None


def _run(model: str, screen: Screen, why: str = "") -> None:
    from flows import full_run
    from flows.summary_table import show

    log = LOGS / f"pipeline-{model}.log"
    screen.keep_log(log)
    screen.begin("checking params.yaml and the data")
    steps = full_run.ready(model, screen.say)
    if why:  # not before a refusal, whose sentence stands alone
        screen.say(why)
    if why == RUNNING:
        screen.begin("waiting for the other run")
    with only_one():
        try:
            full_run.run(steps, screen)
        finally:
            screen.close()
            show(steps.name, steps.done, steps.summary, log)


def only_one() -> AbstractContextManager[None]:
    """Holds the lock; a second run waits for it and says so."""
    words = "another run is going on in this checkout; waiting for it to end, then using what it made"
    return hold_lock(PIPELINE_LOCK, words)


def _leave_soon(*_: object) -> None:
    """On Ctrl-C, stop within seconds: an ephemeral server got the signal too, and Prefect would wait for its answer,
    holding the lock.
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
    sys.exit(edge.guarded(lambda: run_or_tell(options.model)))


if __name__ == "__main__":
    main()
