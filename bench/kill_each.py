"""Kill -9 of each process of `make up` under load: how long until it is back, and what the clients saw meanwhile.

`.venv/bin/python bench/kill_each.py [--clients 4]` in a project that is up and has a champion; a table, and one JSON
line last. Every request must end whole, or with an error that its client sees: a status, an error event, a broken
connection. One that ends in neither is lost.
"""

import argparse
import json
import os
import signal
import sqlite3
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import httpx
import psutil

sys.path.insert(0, str(Path(__file__).parent.parent))

from tasks import params as settings
from tasks.files import read_json
from tasks.serve import routes, state, supervisor
from tasks.serve.gateway import keys
from tasks.serve.reconcile import gateway, records

PATIENCE, SETTLED = 300.0, 8.0  # seconds until a process must be back; of quiet traffic after each
BODY = {
    "stream": True,
    "temperature": 0,
    "max_tokens": 24,
    "messages": [{"role": "user", "content": "The lamp does not turn on. What now?"}],
}


class Client(threading.Thread):
    """Streams one answer after the other, and counts how each request ended."""

    def __init__(self, url: str, key: str, task: str, ended: Counter) -> None:
        super().__init__(daemon=True)
        self.url, self.key, self.task, self.ended, self.over = url, key, task, ended, False

    def run(self) -> None:
        """Ask until `over`."""
        with httpx.Client(base_url=self.url, headers={"Authorization": f"Bearer {self.key}"}, timeout=150) as client:
            while not self.over:
                how = self._ask(client)
                self.ended[how] += 1
                if how != "whole":
                    time.sleep(0.2)

    def _ask(self, client: httpx.Client) -> str:
        try:
            answer = client.post("/v1/chat/completions", json={"model": self.task, **BODY})
        except httpx.TimeoutException:
            return "lost: no end"
        except httpx.HTTPError:
            return "told: connection"
        if answer.status_code != 200:
            return (
                f"told: {answer.status_code}"
                if "error" in answer.json()
                else f"lost: {answer.status_code} without an error"
            )
        if answer.text.rstrip().endswith("data: [DONE]"):
            return "whole"
        return "told: event" if '"error"' in answer.text else "lost: cut without a word"


def victims() -> dict[str, tuple[str, Callable[[], int]]]:
    """Name: (program, how to find the process) for every process that the supervisor looks after, vLLM's own
    children included.
    """
    programs = {}
    for program in ("prefect", "mlflow", "schedules", "reconciler", "gateway"):
        programs[program] = (program, lambda program=program: supervisor.pid(program))
    for slot in state.read_all():
        program = state.program(slot)
        programs[program] = (program, lambda program=program: supervisor.pid(program))
        for name in ("api_server", "EngineCore", "Worker"):
            programs[f"{program}: {name}"] = (
                program,
                lambda program=program, name=name: _child(supervisor.pid(program), name),
            )
    return programs


def _child(parent: int, name: str) -> int:
    """The process below `parent` whose title or command line holds `name`."""
    for child in psutil.Process(parent).children(recursive=True):
        if name in child.name() or name in " ".join(child.cmdline()):
            return child.pid
    raise SystemExit(f"no process {name} below {parent}")


def is_well(params: settings.Params, program: str, task: str, key: str) -> bool:
    """Whether `program` does again what it is there for."""
    if supervisor.status(program) != "RUNNING":
        return False
    address = gateway.address(params.gateway)
    if program == "reconciler":
        return records.is_reconciler_running()
    if program == "schedules":
        return True
    addresses = {
        "prefect": f"http://127.0.0.1:{params.servers.prefect_port}/api/health",
        "mlflow": f"http://127.0.0.1:{params.servers.mlflow_port}/health",
    }
    try:
        if program in addresses:
            return httpx.get(addresses[program], timeout=5).status_code == 200
        body = {"model": task, **BODY, "stream": False, "max_tokens": 4}
        return (
            httpx.post(
                f"{address}/v1/chat/completions", json=body, headers={"Authorization": f"Bearer {key}"}, timeout=60
            ).status_code
            == 200
        )
    except httpx.HTTPError:
        return False


def torn() -> list[str]:
    """What of the state on disk cannot be read whole."""
    damaged = []
    for file in [routes.TABLE, keys.STORE, *map(state.path, state.read_all())]:
        read_json(file)
    for file in (Path(".anneal/records.db"), Path(".anneal/mlflow.db")):
        with sqlite3.connect(file) as database:
            integrity = database.execute("PRAGMA integrity_check").fetchone()[0]
        damaged += [] if integrity == "ok" else [f"{file}: {integrity}"]
    return damaged


def main() -> None:
    """Kill, wait, count, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=4)
    options = parser.parse_args()
    params = settings.load()
    task = next(name for name, task in routes.read().tasks.items() if "champion" in task.targets)
    key, ended, rows = keys.create("kill_each"), Counter(), []
    clients = [Client(gateway.address(params.gateway), key, task, ended) for _ in range(options.clients)]
    for client in clients:
        client.start()
    for name, (program, find) in victims().items():
        time.sleep(SETTLED)
        before, main_process, started = Counter(ended), supervisor.pid(program), time.monotonic()
        os.kill(find(), signal.SIGKILL)
        while supervisor.pid(program) in (0, main_process) or not is_well(params, program, task, key):
            if time.monotonic() - started > PATIENCE:
                raise SystemExit(f"{name} is not back after {PATIENCE:.0f} s: {supervisor.status(program)}")
            time.sleep(0.2)
        seconds = time.monotonic() - started
        time.sleep(SETTLED)
        rows.append({"killed": name, "back_after_s": round(seconds, 1), **dict(ended - before)})
        print(
            f"{name:<22} back after {seconds:>6.1f} s   "
            f"{'  '.join(f'{how} {count}' for how, count in sorted((ended - before).items()))}",
            flush=True,
        )
    for client in clients:
        client.over = True
    for client in clients:
        client.join(160)
    keys.revoke(key.split("-")[1])
    lost = sum(count for how, count in ended.items() if how.startswith("lost"))
    print(
        json.dumps(
            {"rows": rows, "requests": sum(ended.values()), "whole": ended["whole"], "lost": lost, "torn": torn()}
        )
    )


if __name__ == "__main__":
    main()
