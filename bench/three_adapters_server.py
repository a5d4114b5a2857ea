"""The servers of bench/three_adapters.py: the program that the supervisor keeps for a slot, its memory, and streamed
requests to it.
"""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PATIENCE = 600.0  # seconds for a server to start, or to answer
MIB = 2**20


@dataclass(frozen=True)
class Ask:
    """A request: the address of the server, the model's name there, and the messages."""

    url: str
    model: str
    messages: list[dict[str, str]]


@dataclass(frozen=True)
class Streamed:
    """How an answer came: seconds from sending to its first text, and to its end; tokens."""

    first: float
    whole: float
    tokens: int


@dataclass
class Server:
    """A server that runs, and how long it took to answer."""

    url: str
    process: subprocess.Popen[bytes]
    seconds: float

    @property
    def memory(self) -> float:
        """MiB of its processes; what several share counts in parts (PSS)."""
        import psutil

        own = psutil.Process(self.process.pid)
        return sum(each.memory_full_info().pss for each in (own, *own.children(recursive=True))) / MIB


@contextmanager
def server(slot: str, weights: Path, merged: dict[str, Path], max_model_len: int) -> Iterator[Server]:
    """The program of `slot` with `weights`, ready for adapters, or as the `merged` model of that name."""
    from tasks.serve import state, verify

    served = {name: state.Served("1", "", str(folder)) for name, folder in merged.items()}
    options = state.Options(max_model_len=max_model_len, max_lora_rank=16, kv_cache_gib=1)
    asked = state.State(str(weights), "127.0.0.1", _free_port(), options, merged=served)
    state.write(slot, asked)
    log = Path("logs") / f"server-{slot}.log"
    log.parent.mkdir(exist_ok=True)
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    began = time.monotonic()
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "tasks.serve", slot],
            env={**os.environ, "PYTHONPATH": path},
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    try:
        while not verify.is_healthy(asked.url):
            if process.poll() is not None or time.monotonic() - began > PATIENCE:
                raise SystemExit(f"the server of slot {slot} did not start: see {log.resolve()}")
            time.sleep(0.1)
        yield Server(asked.url, process, time.monotonic() - began)
    finally:
        process.terminate()
        process.wait(PATIENCE)
        state.free(slot)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def stream(client: Any, ask: Ask, tokens: int) -> Streamed:
    """Stream an answer of exactly so many `tokens`: servers are compared by the same work."""
    body = {
        "model": ask.model,
        "messages": ask.messages,
        "temperature": 0,
        "max_tokens": tokens,
        "ignore_eos": True,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    began, first, counted = time.perf_counter(), None, 0
    with client.stream("POST", f"{ask.url}/chat/completions", json=body, timeout=PATIENCE) as reply:
        if reply.status_code != 200:
            raise SystemExit(f"{ask.model}: {reply.status_code} {reply.read()[:300]!r}")
        for line in reply.iter_lines():
            if not line.startswith("data: {"):
                continue
            chunk = json.loads(line.removeprefix("data: "))
            if first is None and any(choice["delta"].get("content") for choice in chunk["choices"]):
                first = time.perf_counter() - began
            counted = (chunk.get("usage") or {}).get("completion_tokens", counted)
    if first is None or counted != tokens:
        raise SystemExit(f"{ask.model} answered {counted} of {tokens} tokens")
    return Streamed(first, time.perf_counter() - began, counted)


def one_by_one(asks: Sequence[Ask], tokens: int) -> list[Streamed]:
    """One client that waits for each answer."""
    import httpx

    with httpx.Client(trust_env=False) as client:
        return [stream(client, ask, tokens) for ask in asks]


def at_once(asks: Sequence[Ask], tokens: int, clients: int) -> tuple[list[Streamed], float]:
    """(the answers, seconds for all) of several clients, each of which waits for its answer before it asks again."""
    began = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        parts = list(pool.map(lambda place: one_by_one(asks[place::clients], tokens), range(clients)))
    return [answer for part in parts for answer in part], time.perf_counter() - began
