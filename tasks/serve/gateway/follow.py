"""Follows the routing table and the health of its backends: a request looks whether the table's file has changed,
and never waits for a probe.
"""

import asyncio
import json
import random
import sys
from collections.abc import Callable
from pathlib import Path

import httpx

from tasks import contract
from tasks.contract import Contract
from tasks.errors import AnnealError
from tasks.serve import routes
from tasks.serve.gateway.errors import Refusal
from tasks.serve.gateway.metrics import Metrics

EVERY = 0.2  # seconds between looks at the table while nobody asks
PROBE_EVERY = 1.0  # seconds between questions to a backend's /health


class Follower:
    """The newest readable table, the contracts of its versions, and which backends answer."""

    def __init__(self, path: Path, metrics: Metrics, on_change: Callable[[routes.Table], None]) -> None:
        self.path, self.metrics, self.on_change = path, metrics, on_change
        self.table, self.stamp = routes.Table(), None
        self.contracts: dict[str, Contract | None] = {}  # by folder
        self.up: dict[str, bool] = {}  # by URL

    def look(self) -> None:
        """Read the table again when its file has changed; a table that can't be read leaves the old one in force."""
        try:
            status = self.path.stat()
        except OSError:  # not written yet, or its disk is away: the last table stays
            return
        stamp = (status.st_ino, status.st_mtime_ns, status.st_size)
        if stamp == self.stamp:
            return
        self.stamp = stamp
        try:
            self.table = routes.read(self.path)
        except (AnnealError, OSError) as error:
            _say("routes", str(error))
            return
        targets = [target for task in self.table.tasks.values() for target in task.targets.values()]
        self.contracts = {target.folder: self.contracts.get(target.folder) or _contract(target) for target in targets}
        self.up = {target.url: self.up.get(target.url, False) for target in targets}
        self.metrics.revision.set(self.table.revision)
        self.on_change(self.table)

    async def follow(self) -> None:
        """Look, for ever."""
        while True:
            await asyncio.sleep(EVERY)
            self.look()

    async def probe(self, client: httpx.AsyncClient) -> None:
        """Ask the backends how they are, for ever."""
        while True:
            urls = list(self.up)
            answers = await asyncio.gather(*(_is_up(client, url) for url in urls))
            self.up = {url: dict(zip(urls, answers, strict=True)).get(url, False) for url in self.up}
            self.metrics.backend_up.set(bool(self.up) and all(self.up.values()))
            await asyncio.sleep(PROBE_EVERY)

    def choose(self, name: str) -> routes.Choice:
        """Who answers to `name` this time; Refusal 404 for a name that nobody has, 503 for a task without a champion.

        A version that was rolled back answers nothing that is asked after the table says so.
        """
        self.look()
        choice = routes.resolve(self.table, name, random.random())
        if choice is not None:
            return choice
        if name in self.table.tasks:
            raise Refusal(503, "not_ready", f"{name} has no champion yet; ask again later.", wait=10)
        raise Refusal(
            404, "model_not_found", "There is no such model here; GET /v1/models lists who can be asked.", "model"
        )

    def contract(self, target: routes.Target) -> Contract | None:
        """What `target` is asked and answers; None when its folder can't be read."""
        if target.folder not in self.contracts:
            self.contracts[target.folder] = _contract(target)
        return self.contracts[target.folder]

    def trouble(self) -> str | None:
        """Why no task can be answered now; None when one can."""
        champions = [task.targets["champion"] for task in self.table.tasks.values() if "champion" in task.targets]
        if not champions:
            return "no task has a champion yet"
        return (
            None
            if any(self.up.get(target.url) for target in champions)
            else "the backend of the champion does not answer"
        )


async def _is_up(client: httpx.AsyncClient, url: str) -> bool:
    try:
        return (await client.get(url.removesuffix("/v1") + "/health", timeout=2)).status_code == 200
    except (httpx.HTTPError, httpx.InvalidURL):
        return False


def _contract(target: routes.Target) -> Contract | None:
    try:
        return contract.load(Path(target.folder))
    except (
        AnnealError,
        OSError,
        AttributeError,
        TypeError,
    ) as error:  # the version still chats; only /tasks needs this
        _say("contract", f"{target.model}: {error}")
        return None


def _say(event: str, error: str) -> None:
    print(json.dumps({"event": event, "error": error}), file=sys.stderr, flush=True)
