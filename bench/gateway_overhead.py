"""What the gateway costs: latency over a direct request at a steady rate, memory over time, and manners under twice the
load it can take.

`.venv/bin/python bench/gateway_overhead.py [--seconds 60] [--rate 50]`; the last line is JSON. Open loop: each request
has its time of sending in advance, and latency counts from then, so that a slow answer does not hold back the next
question. The generator, the stub and the gateway share the machine, and so does whatever else runs on it: run it on an
idle one, or, as root, under `chrt -f 1`, which keeps the others out of the figures; and compare with the direct figures
of the same run.
"""

import argparse
import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from bench.open_loop import load

MODEL = "triage@1"
SLOTS, DELAY = 4, 0.1  # of the backend in the overload: it can take 40 requests a second
FORM = {
    "system": "You triage tickets.",
    "user": "Subject: {{ subject }}\n\n{{ body }}",
    "answer": ["category", "intent", "priority", "reply"],
}


def prepare(folder: Path, url: str) -> str:
    """A table with one champion and a key, in `folder`; returns the key."""
    from tasks.files import write_json
    from tasks.serve import routes
    from tasks.serve.gateway import keys

    write_json(folder / "kept" / "format.json", FORM)
    target = routes.Target("1", "a" * 64, MODEL, url, str(folder / "kept"))
    routes.write(routes.Table(1, {"triage": routes.Task({"champion": target})}), folder / "routes.json")
    return keys.create("bench", path=folder / "keys.json")


def serve(folder: Path, port: int, running: int, waiting: int) -> None:
    """The gateway as `python -m tasks.serve.gateway` runs it, on the files in `folder`."""
    from tasks.records import database
    from tasks.serve.gateway.__main__ import serve as run
    from tasks.serve.gateway.app import create_app
    from tasks.serve.params import Gateway, Records

    settings = Gateway(port=port, requests_per_minute=1_000_000, max_running=running, max_waiting=waiting)
    app = create_app(
        settings,
        Records(),
        lambda: database.connect(f"sqlite:///{folder / 'records.db'}"),
        folder / "routes.json",
        folder / "keys.json",
    )
    run(app, "127.0.0.1", port)


def free_port() -> int:
    """A port of loopback that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@contextmanager
def process(port: int, *words: str) -> Iterator[int]:
    """A Python process that answers on `port` inside of the block; yields its id."""
    child = subprocess.Popen(
        [sys.executable, *words], stdout=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    try:
        end = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                if child.poll() is not None or time.monotonic() > end:
                    raise SystemExit(f"{' '.join(words)} did not start") from None
                time.sleep(0.1)
        yield child.pid
    finally:
        child.terminate()
        child.wait(20)


def stub(port: int) -> list[str]:
    """The words of Python for the stub of vLLM."""
    return ["-m", "tests.stub_vllm", "--port", str(port), "--adapter", MODEL]


def gateway(folder: Path, port: int, running: int, waiting: int) -> list[str]:
    """The words of Python for `serve`."""
    return ["-m", "bench.gateway_overhead", "--serve", str(folder), *map(str, (port, running, waiting))]


def quantile(values: list[float], share: float) -> float:
    """Milliseconds that `share` of the values do not exceed."""
    return round(1000 * sorted(values)[min(len(values) - 1, int(share * len(values)))], 2) if values else float("nan")


def steady(folder: Path, rate: float, seconds: float) -> dict:
    """Overhead and memory at `rate`; direct and through the gateway in turns, so that both meet the same machine."""
    stub_port, port = free_port(), free_port()
    url = f"http://127.0.0.1:{stub_port}/v1"
    key = prepare(folder, url)
    with ExitStack() as stack:
        stack.enter_context(process(stub_port, *stub(stub_port)))
        pid = stack.enter_context(process(port, *gateway(folder, port, 32, 64)))
        direct, through, memory = [], [], []
        asyncio.run(load(f"http://127.0.0.1:{port}/v1", key, "triage", rate, 5, 10))  # everything is loaded and warm
        parts = max(1, round(seconds / 20))
        for _ in range(parts):
            direct += asyncio.run(load(url, "none", MODEL, rate, min(10.0, seconds / parts), 10))[0]
            answers, sizes = asyncio.run(
                load(f"http://127.0.0.1:{port}/v1", key, "triage", rate, seconds / parts, 10, pid)
            )
            through, memory = through + answers, memory + sizes
    plain, ours = ([seconds for _, seconds in answers] for answers in (direct, through))
    figures = {
        f"{name}_p{100 * share:g}_ms": quantile(values, share)
        for name, values in (("direct", plain), ("gateway", ours))
        for share in (0.5, 0.95, 0.99)
    }
    middle = len(memory) // 2
    return {
        "rate": rate,
        "requests": len(through),
        "failed": sum(status != 200 for status, _ in direct + through),
        **figures,
        "overhead_p50_ms": round(quantile(ours, 0.5) - quantile(plain, 0.5), 2),
        "overhead_p99_ms": round(quantile(ours, 0.99) - quantile(plain, 0.99), 2),
        "memory_mib_start": round(memory[0], 1),
        "memory_mib_middle": round(memory[middle], 1),
        "memory_mib_end": round(memory[-1], 1),
    }


def overload(folder: Path, seconds: float) -> dict:
    """Twice the requests that the backend can take, then half of them: how soon a 429 comes, and when all is well
    again.
    """
    stub_port, port = free_port(), free_port()
    key = prepare(folder, f"http://127.0.0.1:{stub_port}/v1")
    with ExitStack() as stack:
        stack.enter_context(process(stub_port, *stub(stub_port), "--slots", str(SLOTS), "--delay", str(DELAY)))
        stack.enter_context(process(port, *gateway(folder, port, SLOTS, 8)))
        url = f"http://127.0.0.1:{port}/v1"
        asyncio.run(load(url, key, "triage", 10, 2, 0))
        answers, _ = asyncio.run(load(url, key, "triage", 2 * SLOTS / DELAY, seconds, 0))
        ended = time.monotonic()
        while (
            any(status != 200 for status, _ in asyncio.run(load(url, key, "triage", 0.5 * SLOTS / DELAY, 1, 0))[0])
            and time.monotonic() - ended < 60
        ):
            time.sleep(0.1)
        recovered = time.monotonic() - ended - 1  # the second of requests that were all answered
    refusals = [seconds for status, seconds in answers if status == 429]
    return {
        "offered": len(answers),
        "answered": sum(status == 200 for status, _ in answers),
        "refused": len(refusals),
        "other": sum(status not in (200, 429) for status, _ in answers),
        "refusal_p50_ms": quantile(refusals, 0.5),
        "refusal_p99_ms": quantile(refusals, 0.99),
        "recovered_s": round(max(0.0, recovered), 1),
    }


def main() -> None:
    """Measure, and print one JSON line last."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="of steady load through the gateway")
    parser.add_argument("--rate", type=float, default=50, help="requests a second")
    parser.add_argument("--overload-seconds", type=float, default=10)
    parser.add_argument("--serve", nargs=4, metavar=("FOLDER", "PORT", "RUNNING", "WAITING"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        folder, *numbers = options.serve
        return serve(Path(folder), *map(int, numbers))
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "a").mkdir()
        figures = {
            "steady": steady(Path(folder) / "a", options.rate, options.seconds),
            "overload": overload(Path(folder) / "b", options.overload_seconds),
        }
    figures["load_average"] = round(os.getloadavg()[0], 1)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
