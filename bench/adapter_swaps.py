"""Swaps of the champion under steady streams behind the real gateway: requests that failed or were cut, and how long a
rollback takes.

`.venv/bin/python bench/adapter_swaps.py [--swaps 1000]` with a stub for vLLM; `--real 20` with vLLM itself and the
model that `make pipeline` made. Each swap loads a version, routes to it, drains the one before and unloads it. Works in
a folder of its own with a registry of its own. A table, and one JSON line last.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx

sys.path.insert(0, str(Path(__file__).parent.parent))

from bench.swap_project import BODY, PORT, ROOT, TASK, VERSIONS, make_project
from bench.swap_streams import Streams


@contextmanager
def process(*words: str) -> Iterator[subprocess.Popen]:
    """`python -m words…` while the block runs; its output in a log beside it."""
    with Path(f"{words[0]}.log").open("w") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", *words],
            stdout=log,
            stderr=log,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            start_new_session=True,
        )
        try:
            yield child
        finally:
            child.terminate()
            child.wait(60)


def wait(address: str, seconds: float) -> None:
    """Return when `address` answers 200."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if httpx.get(address, timeout=2).status_code == 200:
                return
        except httpx.HTTPError:
            time.sleep(0.1)
    raise SystemExit(f"{address} does not answer; the logs are in {Path.cwd()}")


def swap(count: int) -> list[float]:
    """Move @champion `count` times, each when the one before is drained and unloaded; seconds from the alias to the
    gateway's new table.
    """
    from tasks import params as settings
    from tasks.serve.reconcile import gateway
    from tasks.serve.reconcile.reader import Reader
    from tasks.serve.reconcile.step import once

    params, reader, seconds = settings.load(), Reader(), []
    for i in range(count):
        started = time.monotonic()
        _promote(str(i % (VERSIONS - 1) + 1))
        outcome = once(params, reader.read)
        while (seen := gateway.followed(params.gateway)) is None or seen.revision < outcome.table.revision:
            time.sleep(0.01)
        seconds.append(time.monotonic() - started)
        while once(params, reader.read).pending:
            time.sleep(0.02)
        if (i + 1) % 100 == 0:
            print(f"{i + 1} swaps", flush=True)
    return seconds


def _promote(number: str) -> None:
    from tasks.versions import alias_moves, promotion

    with alias_moves.held(TASK) as now:
        promotion.promote(now, number, promotion.Reason("promote", ("the bench swaps",)))


def rollbacks(key: str) -> dict[str, float]:
    """Seconds from the command of the dashboard, and from the start of `make rollback`, until the gateway routes to the
    version before.

    The next answer comes as long after that as one takes.
    """
    from tasks.records import database

    seconds = {}
    for how in ("dashboard", "command line"):
        for number in ("1", "2"):
            _promote(number)
        with process("tasks.serve.reconcile"):
            _until_answered_by("2", key)
            started = time.monotonic()
            if how == "dashboard":
                engine = database.connect()
                with engine.begin() as connection:
                    connection.execute(
                        database.commands.insert().values(at=time.time(), task=TASK, action="rollback", key_id="bench")
                    )
                engine.dispose()
            else:
                subprocess.Popen(
                    [sys.executable, "-m", "tasks.steps.release", "rollback", TASK],
                    env=os.environ | {"PYTHONPATH": str(ROOT)},
                    stdout=subprocess.DEVNULL,
                )
            _until_routed_to("1")
            seconds[how] = round(time.monotonic() - started, 2)
            time.sleep(6)  # let it end
    return seconds


def _until_routed_to(version: str) -> None:
    from tasks import params as settings
    from tasks.serve import routes
    from tasks.serve.reconcile import gateway

    params, end = settings.load(), time.monotonic() + 120
    while time.monotonic() < end:
        table, seen = routes.read(), gateway.followed(params.gateway)
        if table.tasks[TASK].targets["champion"].version == version and seen and seen.revision >= table.revision:
            return
        time.sleep(0.02)
    raise SystemExit(f"version {version} was never routed to; the logs are in {Path.cwd()}")


def _until_answered_by(version: str, key: str) -> None:
    end = time.monotonic() + 120
    while time.monotonic() < end:
        answer = httpx.post(
            f"http://127.0.0.1:{PORT + 2}/v1/chat/completions",
            json=BODY,
            headers={"Authorization": f"Bearer {key}"},
            timeout=120,
        )
        if answer.headers.get("x-anneal-version") == f"{TASK}@{version}":
            return
        time.sleep(0.02)
    raise SystemExit(f"version {version} never answered; the logs are in {Path.cwd()}")


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--swaps", type=int, default=1000)
    parser.add_argument("--real", type=int, default=0, metavar="N", help="N swaps on the real vLLM instead")
    options = parser.parse_args()
    from tasks import environment

    environment.apply()
    for name in [name for name in os.environ if name.startswith(("MLFLOW_TRACKING", "ANNEAL_"))]:
        del os.environ[name]
    folder = Path(tempfile.mkdtemp(prefix="anneal-swaps-"))
    make_project(folder, bool(options.real))
    measure(options.real or options.swaps, bool(options.real))
    os.chdir(ROOT)
    shutil.rmtree(folder, ignore_errors=True)


def measure(count: int, real: bool) -> None:
    """Swap `count` times and roll back, under streams; print what came of it."""
    from tasks.serve.gateway import keys
    from tests.stub_vllm import Stub, running

    key, stub = keys.create("bench"), Stub(token_delay=0.05)
    with ExitStack() as stack:
        stack.enter_context(process("tasks.serve", "a") if real else running(stub, PORT))
        wait(f"http://127.0.0.1:{PORT}/health", 600)
        stack.enter_context(process("tasks.serve.gateway"))
        wait(f"http://127.0.0.1:{PORT + 2}/health", 180)
        swap(1)
        wait(f"http://127.0.0.1:{PORT + 2}/ready", 60)
        streams = Streams(key)
        streams.start()
        started = time.monotonic()
        seconds = sorted(swap(count))
        wall = time.monotonic() - started
        took = rollbacks(key)
        streams.over = True
        streams.join(120)
    figures = {
        "backend": "vLLM" if real else "stub",
        "swaps": count,
        "whole_streams": streams.whole,
        "failed_or_cut": len(streams.wrong),
        "unloaded_in_use": None if real else stub.unloaded_in_use,
        "versions_seen": len(streams.versions),
        "seconds_to_new_table_median": round(seconds[len(seconds) // 2], 3),
        "seconds_to_new_table_max": round(seconds[-1], 3),
        "rollback_seconds": took,
        "seconds": round(wall, 1),
    }
    for name, value in figures.items():
        print(f"{name:<30} {value}")
    for words in streams.wrong[:5]:
        print(words)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
