"""Follows the routing table and the health of its backends: a request checks whether the table's file has changed,
and never waits for a probe.
"""

import asyncio
import random
from pathlib import Path

import httpx

from tasks.errors import AnnealError
from tasks.formats import contract
from tasks.formats.contract import Contract
from tasks.serve import routes
from tasks.serve.gateway import log
from tasks.serve.gateway.changes import Stamp, stamp_of
from tasks.serve.gateway.errors import Refusal, model_not_found
from tasks.serve.gateway.metrics import Metrics

EVERY = 0.2  # seconds between looks at the table while nobody asks
PROBE_EVERY = 1.0  # seconds between questions to a backend's /health


class Follower:
    """The newest readable table, the contracts of its versions, and which backends answer."""

    def __init__(self, path: Path, metrics: Metrics) -> None:
        self.path, self.metrics = path, metrics
        self.table = routes.Table()
        self.stamp: Stamp | None = None
        self.contracts: dict[str, Contract | None] = {}  # by folder
        self.up: dict[str, bool] = {}  # by URL

    def look(self) -> None:
        """Read the table again when its file has changed; a table that can't be read leaves the old one in force."""
        stamp = stamp_of(self.path)
        if stamp is None or stamp == self.stamp:
            return  # without a stamp it is not written yet, or its disk is away: the last table stays
        self.stamp = stamp
        try:
            self.table = routes.read(self.path)
        except (AnnealError, OSError) as error:
            log.error("routes", str(error))
            return
        targets = [target for task in self.table.tasks.values() for target in task.targets.values()]
        self.contracts = {target.folder: self.contracts.get(target.folder) or _contract(target) for target in targets}
        self.up = {target.url: self.up.get(target.url, False) for target in targets}
        self.metrics.revision.set(self.table.revision)

    async def follow(self) -> None:
        """Call `look` for ever, every EVERY seconds."""
        while True:
            await asyncio.sleep(EVERY)
            self.look()

    async def probe(self, client: httpx.AsyncClient) -> None:
        """Check the health of the backends, for ever."""
        while True:
            urls = list(self.up)
            answers = await asyncio.gather(*(_is_up(client, url) for url in urls))
            self.up = {url: dict(zip(urls, answers, strict=True)).get(url, False) for url in self.up}
            self.metrics.backend_up.set(bool(self.up) and all(self.up.values()))
            await asyncio.sleep(PROBE_EVERY)

    def choose(self, name: str) -> tuple[routes.Choice, Contract | None]:
        """The version for one request to `name`, and its contract; Refusal 404 for an unknown name, 503 for a task
        without a champion.

        A version that was rolled back gets no request once the table says so.
        """
        self.look()
        choice = routes.resolve(self.table, name, random.random())
        if choice is not None:
            return choice, self.contract(choice.target)
        if name in self.table.tasks:
            raise Refusal(503, "not_ready", f"{name} has no champion yet; try again later.", wait=10)
        raise model_not_found()

    def contract(self, target: routes.Target) -> Contract | None:
        """The contract of `target`; None if its folder cannot be read."""
        if target.folder not in self.contracts:
            self.contracts[target.folder] = _contract(target)
        return self.contracts[target.folder]

    def trouble(self) -> str | None:
        """Why no task can be answered now; None if one can."""
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
    except (AnnealError, OSError, AttributeError, TypeError) as error:  # it still chats: only /tasks needs this
        log.error("contract", f"{target.model}: {error}")
        return None
