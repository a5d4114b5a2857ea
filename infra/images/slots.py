"""The supervisor of the vLLM container: a server for each slot whose state file asks for one. `python
infra/images/slots.py a b c`, or `ready`, or `alive`.

Locally supervisord starts and stops the slots by name. Here nobody can: the reconciler and the flows run in other
containers, and all that they share is the folder of state files. A file that appears starts its server, one that goes
away stops it, one that changes its weights or options starts it anew; a server that dies comes back after a pause that
doubles.
"""

import json
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

FOLDER = Path(".anneal/serving")
ALIVE = Path(tempfile.gettempdir()) / "slots.alive"
STALE = 30.0  # seconds without a sign of life
PAUSES = (1.0, 60.0)  # seconds before a dead server is started again, at first and at most
STEADY = 300.0  # seconds after which a server counts as healthy and its next pause is the first one again


def asked(slot: str) -> tuple | None:
    """What of the state file of `slot` needs another process when it changes; None when no server is asked for."""
    try:
        state = json.loads((FOLDER / f"{slot}.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    return tuple(
        json.dumps(state.get(key), sort_keys=True) for key in ("engine", "weights", "host", "port", "options", "merged")
    )


class Keeper:
    """One slot and the process that serves it."""

    def __init__(self, slot: str, command: list[str]) -> None:
        self.slot, self.command = slot, [*command, slot]
        self.process: subprocess.Popen | None = None
        self.serves: tuple | None = None
        self.pause, self.started, self.not_before = PAUSES[0], 0.0, 0.0

    def turn(self, now: float) -> None:
        """Start, stop or leave the server, as its state file says."""
        wanted = asked(self.slot)
        if self.process and self.process.poll() is not None:
            self.died(now)
        if self.process and wanted != self.serves:
            self.stop()
        if wanted != self.serves:
            self.pause, self.not_before = PAUSES[0], 0.0
        if wanted and self.process is None and now >= self.not_before:
            # A group of its own, so that tasks.serve can end all of vLLM's processes with it.
            self.process, self.started = subprocess.Popen(self.command, start_new_session=True), now
        self.serves = wanted

    def died(self, now: float) -> None:
        """Note that the server ended by itself: it comes back after a pause."""
        print(
            f"slot {self.slot}: the server ended with status {self.process.returncode}; again in {self.pause:.0f} s",
            flush=True,
        )
        self.pause = PAUSES[0] if now - self.started > STEADY else self.pause
        self.process, self.not_before = None, now + self.pause
        self.pause = min(2 * self.pause, PAUSES[1])

    def stop(self) -> None:
        """End the server and wait until it is gone."""
        if self.process:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process = None


def keep(slots: list[str], command: list[str], every: float = 0.5) -> None:
    """Keep the servers of `slots` until SIGTERM, then end them."""
    stopped: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda found, _: stopped.append(found))
    keepers = [Keeper(slot, command) for slot in slots]
    while not stopped:
        ALIVE.touch()
        for keeper in keepers:
            keeper.turn(time.monotonic())
        time.sleep(every)
    for keeper in keepers:
        keeper.stop()


def is_alive() -> bool:
    """True when the keeper of this container has given a sign of life lately."""
    return ALIVE.exists() and time.time() - ALIVE.stat().st_mtime < STALE


def is_ready() -> bool:
    """True when at least one server answers."""
    for file in FOLDER.glob("[a-c].json"):
        try:
            state = json.loads(file.read_text(encoding="utf-8"))
            with urllib.request.urlopen(f"http://{state['host']}:{state['port']}/health", timeout=2) as answer:
                if answer.status == 200:
                    return True
        except (OSError, ValueError, KeyError):
            continue  # it starts, or has just been freed
    return False


if __name__ == "__main__":
    questions = {"ready": is_ready, "alive": is_alive}
    if sys.argv[1] in questions:
        sys.exit(not questions[sys.argv[1]]())
    keep(sys.argv[1:], [sys.executable, "-m", "tasks.serve"])
