"""An open loop of requests: each has its time of sending in advance, and latency counts from then."""

import asyncio
import os
import time
from pathlib import Path

TICKET = (
    "My hub has been offline since the update of yesterday evening; the light is red, and I tried another cable. " * 4
)


async def load(
    url: str, key: str, model: str, rate: float, seconds: float, stream_every: int, pid: int | None = None
) -> tuple[list[tuple[int, float]], list[float]]:
    """(status, seconds from its scheduled time) of each request, and the memory of process `pid` in MiB every 5
    seconds.
    """
    import httpx

    memory, answers = [], []
    async with httpx.AsyncClient(
        headers={"Authorization": f"Bearer {key}"},
        timeout=60,
        limits=httpx.Limits(max_connections=None, keepalive_expiry=3),
        trust_env=False,
    ) as client:

        async def ask(number: int, due: float) -> None:
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            body = {"model": model, "messages": [{"role": "user", "content": f"{number} {TICKET}"}], "max_tokens": 96}
            if stream_every and number % stream_every == 0:
                body["stream"] = True
            answer = await client.post(f"{url}/chat/completions", json=body)
            answers.append((answer.status_code, time.perf_counter() - due))

        async def watch() -> None:
            while pid:
                memory.append(resident(pid))
                await asyncio.sleep(5)

        watcher = asyncio.create_task(watch())
        start, pending = time.perf_counter() + 0.1, set()
        for number in range(int(rate * seconds)):
            due = start + number / rate
            await asyncio.sleep(max(0.0, due - 0.05 - time.perf_counter()))
            task = asyncio.create_task(ask(number, due))
            pending.add(task)
            task.add_done_callback(pending.discard)
        await asyncio.gather(*pending)
        watcher.cancel()
    return answers, memory


def resident(pid: int) -> float:
    """MiB of a process's memory, as Linux counts it."""
    words = Path(f"/proc/{pid}/statm").read_text().split()
    return int(words[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
