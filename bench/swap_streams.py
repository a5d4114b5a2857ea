"""Steady streams through the gateway, and how each of them ended."""

import asyncio
import threading

import httpx

from bench.swap_project import BODY, PORT

CLIENTS = 8


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
            await asyncio.gather(*(self._ask(client) for _ in range(CLIENTS)))

    async def _ask(self, client: httpx.AsyncClient) -> None:
        while not self.over:
            try:
                answer = await client.post("/v1/chat/completions", json=BODY)
            except httpx.HTTPError as error:
                self.wrong.append(repr(error))
                continue
            if not _is_whole(answer):
                self.wrong.append(f"{answer.status_code} {answer.text[-200:]}")
                continue
            self.whole += 1
            self.versions.add(answer.headers["x-anneal-version"])


def _is_whole(answer: httpx.Response) -> bool:
    ended = answer.text.rstrip().endswith("data: [DONE]")
    return answer.status_code == 200 and ended and '"error"' not in answer.text
