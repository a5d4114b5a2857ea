"""The state of a running gateway, and the check of a caller's key."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from fastapi import Request
from sqlalchemy import Engine

from tasks.serve.gateway.backend import Backend, Background
from tasks.serve.gateway.errors import Refusal
from tasks.serve.gateway.follow import Follower
from tasks.serve.gateway.keys import Caller, KeyStore
from tasks.serve.gateway.limits import AdmissionQueue, RateLimit
from tasks.serve.gateway.metrics import Metrics
from tasks.serve.gateway.writer import RecordWriter
from tasks.serve.params import Gateway, Records


@dataclass(frozen=True)
class GatewayState:
    """Created once, when the gateway starts; what changes later is inside its parts."""

    settings: Gateway
    keys: KeyStore
    rate: RateLimit
    follower: Follower
    backend: Backend
    text_slots: asyncio.Semaphore  # for the texts of /classify, of which many come in a request
    shadows: Background
    metrics: Metrics
    writer: RecordWriter


def state_of(request: Request) -> GatewayState:
    """The state of the gateway that `request` came to."""
    state: GatewayState = request.app.state.gateway
    return state


def authorize(request: Request, keys: KeyStore, rate: RateLimit, admin: bool = False) -> Caller:
    """The caller, with the request counted against the key's rate; Refusal 401 without a valid key, 403 if an admin's
    is needed, 429 above the rate.
    """
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    caller = keys.find(key.strip()) if scheme.lower() == "bearer" else None
    if caller is None:
        raise Refusal(
            401, "invalid_api_key", "A key is needed, as `Authorization: Bearer anneal-…`; `make key NAME=…` makes one."
        )
    request.state.key_id = caller.id  # for the record of a refusal
    if admin and not caller.admin:
        raise Refusal(403, "no_admin", "This needs an admin's key; `make key NAME=… ADMIN=1` makes one.")
    rate.check(caller.id)
    return caller


@asynccontextmanager
async def running(
    settings: Gateway, records: Records, engine_factory: Callable[[], Engine], table_path: Path, keys_path: Path
) -> AsyncIterator[GatewayState]:
    """Serve inside of the block: follow the table, probe the servers, write; at its end the records are written out."""
    metrics, background, shadows = Metrics(), Background(), Background()
    queue = AdmissionQueue(settings.max_running, settings.max_waiting, settings.timeout)
    follower, writer = Follower(table_path, metrics), RecordWriter(records, engine_factory, metrics)
    metrics.waiting.set_function(lambda: queue.waiting)
    writer.start()
    follower.look()
    async with _client(settings) as client:
        background.start(follower.follow())
        background.start(follower.probe(client))
        try:
            yield GatewayState(
                settings,
                KeyStore(keys_path),
                RateLimit(settings.requests_per_minute),
                follower,
                Backend(client, queue, metrics, background, settings.timeout),
                asyncio.Semaphore(settings.max_running),
                shadows,
                metrics,
                writer,
            )
        finally:
            await shadows.stop()
            await background.stop()
            await asyncio.to_thread(writer.stop)


def _client(settings: Gateway) -> httpx.AsyncClient:
    """No proxy and no .netrc of this machine's: requests go to loopback, and carry no key on."""
    limits = httpx.Limits(
        max_connections=None, max_keepalive_connections=settings.max_running, keepalive_expiry=2
    )  # vLLM closes idle ones after 5 s
    timeout = httpx.Timeout(settings.timeout, connect=2, pool=None)
    return httpx.AsyncClient(limits=limits, timeout=timeout, trust_env=False, headers={"accept-encoding": "identity"})
