"""What one gateway holds while it runs, and how a request gets in."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from fastapi import Request
from sqlalchemy import Engine

from tasks.serve.gateway.errors import Refusal
from tasks.serve.gateway.exchange import Exchange
from tasks.serve.gateway.follow import Follower
from tasks.serve.gateway.keys import Caller, Ring
from tasks.serve.gateway.limits import Places, Rate
from tasks.serve.gateway.metrics import Metrics
from tasks.serve.gateway.records import Writer
from tasks.serve.params import Gateway, Records
from tasks.serve.routes import Choice, Table


@dataclass(frozen=True)
class Settings:
    """The sections of params.yaml that a gateway reads."""

    gateway: Gateway = field(default_factory=Gateway)
    records: Records = field(default_factory=Records)


class Door:
    """Settings, keys, limits, the table that is followed, the client that asks vLLM, the log."""

    def __init__(
        self,
        settings: Settings,
        engine_factory: Callable[[], Engine],
        table_path: Path,
        keys_path: Path,
        on_table: Callable[[Table], None],
        on_engine: Callable[[Engine], None],
    ) -> None:
        self.settings = gateway = settings.gateway
        self.metrics = Metrics()
        self.follower = Follower(table_path, self.metrics, on_table)
        self.writer = Writer(settings.records, engine_factory, self.metrics, on_engine)
        self.ring, self.rate = Ring(keys_path), Rate(gateway.requests_per_minute)
        self.places = Places(gateway.max_running, gateway.max_waiting, gateway.timeout)
        self.turns = asyncio.Semaphore(gateway.max_running)  # of texts that come many in a request
        self.metrics.waiting.set_function(lambda: self.places.waiting)
        self.shadows = 0
        self.client: httpx.AsyncClient | None = None
        self._background: set[asyncio.Task] = set()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Serve inside of the block: follow, probe, write; at its end the log is written out."""
        limits = httpx.Limits(
            max_connections=None, max_keepalive_connections=self.settings.max_running, keepalive_expiry=2
        )  # vLLM closes idle ones after 5 s
        timeout = httpx.Timeout(self.settings.timeout, connect=2, pool=None)
        self.writer.start()
        self.follower.look()
        # No proxy and no .netrc of this machine's: requests go to loopback, and carry no key on.
        async with httpx.AsyncClient(
            limits=limits, timeout=timeout, trust_env=False, headers={"accept-encoding": "identity"}
        ) as self.client:
            loops = [asyncio.create_task(self.follower.follow()), asyncio.create_task(self.follower.probe(self.client))]
            try:
                yield
            finally:
                for task in [*loops, *self._background]:
                    task.cancel()
                await asyncio.gather(*loops, *self._background, return_exceptions=True)
                await asyncio.to_thread(self.writer.stop)

    def spawn(self, work: Coroutine) -> None:
        """Do `work` beside the requests."""
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    def caller(self, request: Request, admin: bool = False) -> Caller:
        """Whose request it is, counted against the key's rate; Refusal 401 without a good key, 403 where an admin's
        is needed, 429.
        """
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        holder = self.ring.find(key.strip()) if scheme.lower() == "bearer" else None
        if holder is None:
            raise Refusal(
                401,
                "invalid_api_key",
                "A key is needed, as `Authorization: Bearer anneal-…`; `make key NAME=…` makes one.",
            )
        request.state.key_id = holder.id  # for the line of a refusal
        if admin and not holder.admin:
            raise Refusal(403, "no_admin", "This needs an admin's key; `make key NAME=… ADMIN=1` makes one.")
        self.rate.check(holder.id)
        return holder

    def note(self, request: Request, refusal: Refusal, request_id: str) -> None:
        """A line in the log for a request that was refused before anybody was chosen to answer it."""
        self.metrics.refused.labels(refusal.code).inc()
        path = getattr(
            request.scope.get("route"), "path", "(unknown)"
        )  # what a stranger asks for may be anything: it is not repeated
        key_id = getattr(request.state, "key_id", None)
        self.writer.put(
            {
                "id": request_id,
                "at": time.time(),
                "path": path,
                "key_id": key_id,
                "status": refusal.status,
                "error": refusal.code,
            },
            keep=False,
        )

    def exchange(self, choice: Choice, path: str, caller: Caller, given: dict, judged: bool = True) -> Exchange:
        """The books of one request to `choice`. Between the choice and this there must be no `await`: the reconciler
        counts on it.
        """
        contract = self.follower.contract(choice.target)
        return Exchange(
            self.metrics,
            self.writer,
            choice.task,
            choice.role,
            choice.target,
            contract,
            path,
            caller.id,
            given,
            judged=judged,
        )


def door_of(request: Request) -> Door:
    """The door that `request` came to."""
    return request.app.state.door


class Gone(Exception):
    """The client hung up."""


@asynccontextmanager
async def until_gone(receive: Callable[[], Awaitable[dict]]) -> AsyncIterator[None]:
    """Cancel what the block waits for when the client hangs up, and raise Gone; works as asyncio.timeout does."""
    task, gone = asyncio.current_task(), False

    async def watch() -> None:
        nonlocal gone
        while (await receive())["type"] != "http.disconnect":
            await asyncio.sleep(0)
        gone = True
        task.cancel()

    watcher = asyncio.create_task(watch())
    try:
        yield
    except asyncio.CancelledError:
        if gone and task.uncancel() == 0:
            raise Gone from None
        raise
    finally:
        watcher.cancel()
