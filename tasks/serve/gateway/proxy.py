"""Passes a request on to vLLM and the answer back: whole, or piece by piece as it comes."""

import asyncio
import json
from collections.abc import Callable

import httpx
from fastapi import Response

from tasks.messages import CHAT, CLASSIFY, TASKS
from tasks.serve.gateway.door import Door, Gone, until_gone
from tasks.serve.gateway.errors import CLIENT_LEFT, Refusal
from tasks.serve.gateway.exchange import Exchange
from tasks.serve.gateway.stream import events, is_usage_alone, readable, readable_event

BROKEN = (httpx.HTTPError, httpx.InvalidURL, TimeoutError)
# Fields that become part of a prompt.
RENDERED = ("messages", "tools", "functions", "documents", "chat_template_kwargs")
END = {"type": "http.response.body", "body": b"", "more_body": False}


class Call:
    """One request at vLLM: a place, a connection, and the books. `close` gives all three back, however it ends."""

    def __init__(self, door: Door, exchange: Exchange) -> None:
        self.door, self.exchange, self.response, self._held = door, exchange, None, False

    async def open(self, body: dict) -> httpx.Response:
        """Wait for a place and ask; the head of the answer is there when this returns, its body is not."""
        await self.door.places.enter()
        self._held = True
        target, client = self.exchange.target, self.door.client
        headers = {"content-type": "application/json", "x-request-id": self.exchange.id}
        path = self.exchange.path
        is_chat = path in (CHAT, CLASSIFY) or (path == TASKS and "messages" in body)
        where = "/chat/completions" if is_chat else "/completions"
        if where == "/chat/completions":
            body = as_text(self.exchange, body)
        request = client.build_request("POST", target.url + where, content=json.dumps(body).encode(), headers=headers)
        try:
            self.response = await _answered(client, request)
        except (
            httpx.ConnectError,
            httpx.RemoteProtocolError,
            httpx.ReadError,
        ):  # not a word was said: often a kept connection that vLLM was closing; asking twice changes nothing
            await asyncio.sleep(0.1)
            self.response = await _answered(client, request)
        return self.response

    def close(self, status: int, error: str | None = None) -> None:
        """Once and at once: nothing here waits, so that a cancelled request can't be cut off in the middle of it."""
        if self._held:
            self._held = False
            self.door.places.leave()
        if self.response is not None:
            self.door.spawn(self.response.aclose())
        self.exchange.finish(status, error)


async def _answered(client: httpx.AsyncClient, request: httpx.Request) -> httpx.Response:
    """The head of the answer. A server that dies as a connection to it opens leaves anyio with a socket that has no
    peer, which httpx does not call an error of its own; nothing was sent then.
    """
    try:
        return await client.send(request, stream=True)
    except (AttributeError, OSError) as error:
        raise httpx.ConnectError("the connection was closed as it opened", request=request) from error


def as_text(exchange: Exchange, body: dict) -> dict:
    """`body` of a chat with special tokens in whatever the template renders as text: nobody's message opens or ends a
    turn.

    That holds for /v1 too: clients own their messages, and say whose turn it is by `role`. A raw prompt
    (/v1/completions) is all theirs and passes as it is.
    """
    given = {**body, "messages": [_with_objects(message) for message in body["messages"]]}
    return {**given, **{name: exchange.special.neutral_in(given[name]) for name in RENDERED if name in given}}


def _with_objects(message: dict) -> dict:
    """`message`, its calls' arguments written again where they are JSON: an escape must not hide a special token that
    vLLM would read from it.
    """
    calls = message.get("tool_calls")
    if not isinstance(calls, list):
        return message
    return {**message, "tool_calls": [_unescaped(call) for call in calls]}


def _unescaped(call: object) -> object:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("arguments"), str):
        return call
    try:
        arguments = json.dumps(json.loads(function["arguments"]), ensure_ascii=False)
    except (ValueError, RecursionError):
        return call  # vLLM refuses it
    return {**call, "function": {**function, "arguments": arguments}}


def refusal_of(error: Exception) -> Refusal:
    """What a client is told of trouble with vLLM."""
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        return Refusal(
            503,
            "backend_down",
            "The model's server does not answer; it may be starting. Ask again in a moment.",
            wait=5,
        )
    if isinstance(error, httpx.TimeoutException | TimeoutError):
        return Refusal(
            504, "backend_timeout", "The model's server took too long; ask for fewer tokens, or again later."
        )
    return Refusal(502, "backend_died", "The model's server broke off in the middle of the answer; ask again.")


def refusal_of_status(status: int) -> Refusal | None:
    """For an answer of vLLM that is no answer; None for 200, and for 400 and 422, which are about the client's own
    fields.
    """
    if status in (200, 400, 422):
        return None
    if status in (404, 429, 503):  # it has just started, and the reconciler has not loaded the adapter yet
        return Refusal(503, "backend_not_ready", "The model is being loaded; ask again in a moment.", wait=5)
    return Refusal(502, "backend_error", f"The model's server failed (status {status}).")


async def answer(
    door: Door, exchange: Exchange, body: dict, receive: Callable, after: Callable[[], None] = lambda: None
) -> Response:
    """The answer of `exchange`'s target to `body`, then `after()` if it was one. A stream is still to come; the call
    closes with it.
    """
    body, own_usage = _with_usage({**body, "model": exchange.target.model})
    call, status, error = Call(door, exchange), 500, "internal_error"
    streams = False  # then the relay closes the call
    try:
        async with until_gone(receive):
            async with asyncio.timeout(door.settings.timeout + door.places.patience):
                response = await call.open(body)
            if refusal := refusal_of_status(response.status_code):
                raise refusal
            if body.get("stream") and response.status_code == 200:
                streams = True
                return Relay(call, own_usage, after)
            content = await whole(call)
        status, error = response.status_code, None if response.status_code == 200 else "backend_refused"
        if status == 200:
            exchange.read_bytes(content)
            if exchange.error:
                raise refusal_of_status(500)
        call.close(status, error)
        if status == 200:
            after()
        return Response(readable(content), status, {**exchange.headers, "content-type": "application/json"})
    except Gone:
        status, error = CLIENT_LEFT, "client_left"
        return Response(status_code=CLIENT_LEFT)
    except (*BROKEN, Refusal) as trouble:
        refusal = trouble if isinstance(trouble, Refusal) else refusal_of(trouble)
        status, error = refusal.status, refusal.code
        door.metrics.refused.labels(refusal.code).inc()
        return refusal.response(exchange.headers)
    finally:
        if not streams:
            call.close(status, error)


def _with_usage(body: dict) -> tuple[dict, bool]:
    """`body` with the usage asked for, and whether only we ask: the books need the tokens of a stream, and a client
    who did not ask is not shown that event.
    """
    options = body.get("stream_options") or {}
    if not body.get("stream") or options.get("include_usage"):
        return body, False
    return {**body, "stream_options": {**options, "include_usage": True}}, True


async def whole(call: Call) -> bytes:
    """The body of an answer, within the time for one."""
    async with asyncio.timeout(call.door.settings.timeout):
        return await call.response.aread()


class Relay(Response):
    """A stream passed on, byte for byte and as it comes; one that breaks ends with an error event, never as if it
    were whole.
    """

    def __init__(self, call: Call, own_usage: bool, after: Callable[[], None]) -> None:
        kind = call.response.headers.get("content-type", "text/event-stream")
        super().__init__(b"", 200, {**call.exchange.headers, "cache-control": "no-cache"}, kind)
        self.call, self.own_usage, self.after = call, own_usage, after

    async def __call__(self, scope: dict, receive: Callable, send: Callable) -> None:
        """The ASGI side of it."""
        status, error = CLIENT_LEFT, "client_left"
        try:
            headers = [(name, value) for name, value in self.raw_headers if name != b"content-length"]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            async with until_gone(receive):
                status, error = await self._pass_on(send)
            await send(END)
        except (Gone, OSError, TimeoutError):
            status, error = CLIENT_LEFT, "client_left"
        finally:
            self.call.close(status, error)
            if status == 200:
                self.after()

    async def _pass_on(self, send: Callable) -> tuple[int, str | None]:
        exchange, patience, ended = self.call.exchange, self.call.door.settings.timeout, False
        try:
            async for event in events(self.call.response.aiter_raw()):
                exchange.begin()
                ended = ended or event.startswith(b"data: [DONE]")
                if _take(exchange, event) and self.own_usage:
                    continue
                await _send(send, readable_event(event), patience)
            if ended:
                return 200, None
            refusal = refusal_of(httpx.RemoteProtocolError(""))
        except BROKEN as trouble:
            refusal = refusal_of(trouble)
        self.call.door.metrics.refused.labels(refusal.code).inc()
        await _send(send, refusal.event(), patience)
        return refusal.status, refusal.code


async def _send(send: Callable, event: bytes, patience: float) -> None:
    """One event to the client. One who does not read for so long has gone: its place is somebody else's."""
    try:
        async with asyncio.timeout(patience):
            await send({"type": "http.response.body", "body": event, "more_body": True})
    except TimeoutError:
        raise Gone from None


def _take(exchange: Exchange, event: bytes) -> bool:
    """Read an event into the books; True for the one that has the usage and no choices."""
    data = event.removeprefix(b"data: ").strip()
    if not event.startswith(b"data: ") or data == b"[DONE]":
        return False
    exchange.read_bytes(data)
    return is_usage_alone(data)
