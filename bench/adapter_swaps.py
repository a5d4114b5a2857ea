"""Swaps of the champion under steady streams behind the real gateway: requests that failed or were cut, and how long a
rollback takes.

`.venv/bin/python bench/adapter_swaps.py [--swaps 1000]` with a stub for vLLM; `--real 20` with vLLM itself and the
model that `make pipeline` made. Each swap loads a version, routes to it, drains the one before and unloads it. Works in
a folder of its own with a registry of its own. A table, and one JSON line last.
"""

import argparse
import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx

sys.path.insert(0, str(Path(__file__).parent.parent))

ROOT = Path(__file__).resolve().parents[1]
TASK, PORT, CLIENTS, VERSIONS = "triage", 19150, 8, 6
BODY = {
    "model": TASK,
    "stream": True,
    "temperature": 0,
    "max_tokens": 48,
    "messages": [{"role": "user", "content": "Subject: lamp\n\nThe lamp does not turn on. What now?"}],
}


def make_project(folder: Path, real: bool) -> None:
    """params.yaml with ports of its own, a registry with some versions, and slot a ready to be served."""
    from ruamel.yaml import YAML

    yaml = YAML()
    params = yaml.load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    params["deploy"]["port"], params["gateway"]["port"], params["gateway"]["requests_per_minute"] = (
        PORT,
        PORT + 2,
        1_000_000,
    )
    with (folder / "params.yaml").open("w", encoding="utf-8") as file:
        yaml.dump(params, file)
    os.chdir(folder)
    from tasks import params as settings
    from tasks import promotion
    from tasks.files import write_json, write_jsonl
    from tasks.serve import state

    base = "b" * 64
    for number in range(VERSIONS):  # the same weights as many versions: what is measured is the swap
        adapter, evaluate = folder / "made" / str(number) / "adapter", folder / "made" / str(number) / "evaluate"
        if real:
            shutil.copytree(ROOT / "models/triage/adapter", adapter)
        write_json(
            adapter / "artifact.json",
            {
                "artifact_sha256": f"{number:064}",
                "base_sha256": base,
                "template_sha256": "",
                "parts": {"adapter_model.safetensors": str(number)},
            },
        )
        if not real:
            write_json(adapter / "format.json", {"system": "", "user": "{{ body }}", "answer": ["category"]})
        write_jsonl(evaluate / "predictions.jsonl", [{"id": "1", "text": ""}])
        promotion.register(TASK, adapter, evaluate, {"gate": "passed", "parity": "1.0", "base_sha256": base}, {})
    weights = state.FOLDER / state.base_folder(base)
    if real:
        state.keep(ROOT / "models/smollm2/weights", weights.name)
    weights.mkdir(parents=True, exist_ok=True)
    deploy = settings.load().deploy
    state.write("a", state.State(str(weights), "127.0.0.1", PORT, state.options(deploy), verified=True, since=1.0))


@contextmanager
def process(*words: str) -> Iterator[subprocess.Popen]:
    """`python -m words…` while the block runs; its output in a log beside it."""
    with Path(f"{words[0]}.log").open("w") as log:
        found = subprocess.Popen(
            [sys.executable, "-m", *words],
            stdout=log,
            stderr=log,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            start_new_session=True,
        )
        try:
            yield found
        finally:
            found.terminate()
            found.wait(60)


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


class Streams(threading.Thread):
    """Clients that stream one answer after the other through the gateway, and what came of it."""

    def __init__(self, key: str) -> None:
        super().__init__(daemon=True)
        self.key, self.over = key, False
        self.whole, self.wrong, self.versions = 0, [], set()

    def run(self) -> None:
        """Stream until `over`."""
        asyncio.run(self._all())

    async def _all(self) -> None:
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{PORT + 2}", headers={"Authorization": f"Bearer {self.key}"}, timeout=120
        ) as client:
            await asyncio.gather(*(self._one(client) for _ in range(CLIENTS)))

    async def _one(self, client: httpx.AsyncClient) -> None:
        while not self.over:
            answer = None
            try:
                answer = await client.post("/v1/chat/completions", json=BODY)
            except httpx.HTTPError as error:
                self.wrong.append(repr(error))
                continue
            if (
                answer.status_code != 200
                or not answer.text.rstrip().endswith("data: [DONE]")
                or '"error"' in answer.text
            ):
                self.wrong.append(f"{answer.status_code} {answer.text[-200:]}")
                continue
            self.whole += 1
            self.versions.add(answer.headers["x-anneal-version"])


def swap(count: int) -> list[float]:
    """Move @champion `count` times, each when the one before is drained and unloaded; seconds from the alias to the
    gateway's new table.
    """
    from tasks import params as settings
    from tasks import promotion
    from tasks.serve.reconcile import desired, gateway, once

    params, reader, seconds = settings.load(), desired.Reader(), []
    for i in range(count):
        started = time.monotonic()
        promotion.promote(TASK, str(i % (VERSIONS - 1) + 1), promotion.Why("promote", ("the bench swaps",)))
        outcome = once(params, reader.read)
        while (seen := gateway.look(params.gateway)) is None or seen.revision < outcome.table.revision:
            time.sleep(0.01)
        seconds.append(time.monotonic() - started)
        while once(params, reader.read).pending:
            time.sleep(0.02)
        if (i + 1) % 100 == 0:
            print(f"{i + 1} swaps", flush=True)
    return seconds


def rollbacks(key: str) -> dict[str, float]:
    """Seconds from the command of the dashboard, and from the start of `make rollback`, until the gateway routes to the
    version before.

    The next answer comes as long after that as one takes.
    """
    from tasks import database, promotion

    found = {}
    for how in ("dashboard", "command line"):
        for number in ("1", "2"):
            promotion.promote(TASK, number, promotion.Why("promote", ("the bench swaps",)))
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
                    [sys.executable, "-m", "tasks.release", "rollback", TASK],
                    env=os.environ | {"PYTHONPATH": str(ROOT)},
                    stdout=subprocess.DEVNULL,
                )
            _until_routed_to("1")
            found[how] = round(time.monotonic() - started, 2)
            time.sleep(6)  # let it end
    return found


def _until_routed_to(version: str) -> None:
    from tasks import params as settings
    from tasks.serve import routes
    from tasks.serve.reconcile import gateway

    params, end = settings.load(), time.monotonic() + 120
    while time.monotonic() < end:
        table, seen = routes.read(), gateway.look(params.gateway)
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
    from bench.stub_vllm import Stub, running
    from tasks.serve.gateway import keys

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
