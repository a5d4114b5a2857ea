"""Forwards a request to its version's server and the answer back, whole or as a stream."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import httpx
from fastapi import Response
from starlette.types import Receive, Scope, Send

from tasks.serve.gateway.backend import BROKEN, Call, backend_error, refusal_of, refusal_of_status
from tasks.serve.gateway.errors import Refusal
from tasks.serve.gateway.record import NOT_JUDGED, Judgement, judge, of_answer
from tasks.serve.gateway.reply import CRASHED, LEFT, NOTHING, Ending, Reply, ReplyReader, refused
from tasks.serve.gateway.request import ModelRequest
from tasks.serve.gateway.state import GatewayState
from tasks.serve.gateway.stream import events, is_usage_alone, readable, readable_event

END = {"type": "http.response.body", "body": b"", "more_body": False}
OnSuccess = Callable[[], None]  # called after an answer with status 200


class ClientLeft(Exception):
    """The client disconnected."""


@dataclass(frozen=True)
class Answered:
    """The response to a client of /v1, and what was read in an answer that came whole."""

    response: Response
    reply: Reply = NOTHING
    judgement: Judgement = NOT_JUDGED


async def answer(gateway: GatewayState, request: ModelRequest, receive: Receive, on_success: OnSuccess) -> Answered:
    """Ask the server, record the outcome, and call `on_success` after an answer. For a stream, the Relay does both at
    its end.
    """
    call, ending, content, is_relayed = Call(gateway.backend, request), CRASHED, b"", False
    try:
        async with until_disconnect(receive):
            async with asyncio.timeout(gateway.backend.timeout + gateway.backend.queue.patience):
                response = await call.open()
            if refusal := refusal_of_status(response.status_code):
                raise refusal
            if request.streams and response.status_code == 200:
                is_relayed = True
                return Answered(Relay(gateway, call, response, on_success))
            async with asyncio.timeout(gateway.backend.timeout):
                content = await response.aread()
        ending = read(response.status_code, content, request)
    except ClientLeft:
        ending = LEFT
    except (*BROKEN, Refusal) as trouble:
        ending = refused(refusal_of(trouble))
    finally:
        if not is_relayed:
            judgement = settle(gateway, call, ending)
    if ending.refusal is not None:
        return Answered(ending.refusal.response(request.headers))
    if ending.status == 200:
        on_success()
    headers = {**request.headers, "content-type": "application/json"}
    return Answered(Response(readable(content), ending.status, headers), ending.reply, judgement)


def read(status: int, content: bytes, request: ModelRequest) -> Ending:
    """The ending of a request for which a server sent the whole `content`, with a status that is not a refusal."""
    if status != 200:
        return Ending(status, "backend_refused")
    reader = ReplyReader(request.special)
    reader.read(content)
    reply = reader.reply()
    return refused(backend_error(500), reply) if reply.error else Ending(200, None, reply)


def settle(gateway: GatewayState, call: Call, ending: Ending) -> Judgement:
    """Release the call, then judge, measure and record the answer."""
    latency = time.monotonic() - call.request.started
    call.close()  # first: nothing that follows may keep a server from draining
    judgement = judge(call.request, ending)
    record = of_answer(call.request, ending, judgement, latency)
    if ending.refusal is not None:
        gateway.metrics.refused.labels(ending.refusal.code).inc()
    gateway.metrics.observe(record)
    gateway.writer.put(record)
    return judgement


class Relay(Response):
    """A stream passed on, byte for byte as it comes; one that breaks ends with an error event, never like a complete
    one.
    """

    def __init__(self, gateway: GatewayState, call: Call, answer: httpx.Response, on_success: OnSuccess) -> None:
        kind = answer.headers.get("content-type", "text/event-stream")
        super().__init__(b"", 200, {**call.request.headers, "cache-control": "no-cache"}, kind)
        self.gateway, self.call, self.answer, self.on_success = gateway, call, answer, on_success
        self.reader = ReplyReader(call.request.special)
        self.first_token: float | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI side of it."""
        ending = LEFT
        try:
            headers = [(name, value) for name, value in self.raw_headers if name != b"content-length"]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            async with until_disconnect(receive):
                ending = await self._pass_on(send)
            await send(END)
        except (ClientLeft, OSError, TimeoutError):
            ending = LEFT
        finally:
            settle(self.gateway, self.call, replace(ending, reply=self.reader.reply(), first_token=self.first_token))
            if ending.status == 200:
                self.on_success()

    async def _pass_on(self, send: Send) -> Ending:
        patience, is_whole = self.gateway.backend.timeout, False
        try:
            async for event in events(self.answer.aiter_raw()):
                if self.first_token is None:
                    self.first_token = time.monotonic() - self.call.request.started
                is_whole = is_whole or event.startswith(b"data: [DONE]")
                if self._take(event) and not self.call.request.asks_for_usage:
                    continue
                await _send(send, readable_event(event), patience)
            if is_whole:
                return Ending(200, None)
            refusal = refusal_of(httpx.RemoteProtocolError(""))
        except BROKEN as trouble:
            refusal = refusal_of(trouble)
        await _send(send, refusal.event(), patience)
        return refused(refusal)

    def _take(self, event: bytes) -> bool:
        """Read an event; True for the one with the usage and no choices, which only clients that ask for it get."""
        data = event.removeprefix(b"data: ").strip()
        if not event.startswith(b"data: ") or data == b"[DONE]":
            return False
        self.reader.read(data)
        return is_usage_alone(data)


async def _send(send: Send, event: bytes, patience: float) -> None:
    """Send one event to the client; one that does not read it in time has left, and frees its slot."""
    try:
        async with asyncio.timeout(patience):
            await send({"type": "http.response.body", "body": event, "more_body": True})
    except TimeoutError:
        raise ClientLeft from None


@asynccontextmanager
async def until_disconnect(receive: Receive) -> AsyncIterator[None]:
    """Cancel what the block waits for when the client hangs up, and raise ClientLeft; works as asyncio.timeout does."""
    task, has_left = asyncio.current_task(), False
    assert task is not None, "requests run in tasks"

    async def watch() -> None:
        nonlocal has_left
        while (await receive())["type"] != "http.disconnect":
            await asyncio.sleep(0)
        has_left = True
        task.cancel()

    watcher = asyncio.create_task(watch())
    try:
        yield
    except asyncio.CancelledError:
        if has_left and task.uncancel() == 0:
            raise ClientLeft from None
        raise
    finally:
        watcher.cancel()
