"""How long the process that answers lives: as long as someone holds a lock, which the kernel lets go of when its holder
dies, however it dies. So no process of a run that was killed is left, and none is ended that another still asks.
"""

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

FOLDER = Path(".anneal/engine")
HELD = "held.lock"  # shared by all for whom the process is to live on
RUNS = "runs.lock"  # of the process itself
STARTS = "starts.lock"  # of whoever looks for one, and starts it
EVERY = 0.3  # seconds between two looks
PATIENCE = 20.0  # seconds for a process to end


@contextmanager
def locked(name: str, how: int = fcntl.LOCK_EX) -> Iterator[None]:
    """Hold a lock of FOLDER; waits for its holder."""
    with _opened(name) as file:
        fcntl.flock(file, how)
        yield


@contextmanager
def held() -> Iterator[None]:
    """Keep the process that answers, if one runs or is started meanwhile."""
    with locked(HELD, fcntl.LOCK_SH):
        yield


def end_when_let_go() -> None:
    """End this process as soon as nobody holds it, whatever it is at."""
    file = _opened(HELD)

    def watch() -> None:
        while not _taken(file):
            time.sleep(EVERY)
        os._exit(0)

    threading.Thread(target=watch, daemon=True).start()


def runs() -> IO[str]:
    """What this process, which answers, has open while it lives."""
    file = _opened(RUNS)
    fcntl.flock(file, fcntl.LOCK_EX)
    return file


def wait_for_end() -> None:
    """Return when no process answers here and the device is free of it; not later than after PATIENCE."""
    if not (FOLDER / RUNS).exists():
        return
    with _opened(RUNS) as file:
        until = time.monotonic() + PATIENCE
        while not _taken(file) and time.monotonic() < until:
            time.sleep(EVERY)


class Keeper:
    """Holds for a run, across its stages, what one of them has started."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._holds = False

    def hold(self) -> None:
        """Keep the process that the next stages start, until `let_go`."""
        if not self._holds:
            self._stack.enter_context(held())
            self._holds = True

    def let_go(self) -> None:
        """Have it end, unless another holds it too, and wait for that: what comes next may want the whole device."""
        if self._holds:
            self._stack.close()
            self._holds = False
            wait_for_end()


@contextmanager
def keeping() -> Iterator[Keeper]:
    """A keeper that lets go at the end of a run."""
    keeper = Keeper()
    try:
        yield keeper
    finally:
        keeper.let_go()


def _opened(name: str) -> IO[str]:
    FOLDER.mkdir(parents=True, exist_ok=True)
    return (FOLDER / name).open("w", encoding="utf-8")


def _taken(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
