"""Sends requests to the servers of versions: one slot in the queue and one connection for each."""

import asyncio
import json
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass

import httpx

from tasks.dialogues.messages import COMPLETIONS
from tasks.dialogues.special import SpecialTexts
from tasks.serve.gateway.body import Body
from tasks.serve.gateway.errors import Refusal
from tasks.serve.gateway.limits import AdmissionQueue
from tasks.serve.gateway.metrics import Metrics
from tasks.serve.gateway.request import ModelRequest

BROKEN = (httpx.HTTPError, httpx.InvalidURL, TimeoutError)
# Fields that become part of a prompt.
RENDERED = ("messages", "tools", "functions", "documents", "chat_template_kwargs")


class Background:
    """Tasks that nothing awaits, referenced here until they end: asyncio itself keeps only weak references."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        """How many run."""
        return len(self._tasks)

    def start(self, work: Coroutine[object, object, None]) -> None:
        """Begin `work`."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        """Cancel all that runs, and wait until it has ended."""
        tasks = [*self._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@dataclass(frozen=True)
class Backend:
    """What a call to a server needs. `timeout`: seconds for an answer, or for the next piece of a stream."""

    client: httpx.AsyncClient
    queue: AdmissionQueue
    metrics: Metrics
    background: Background
    timeout: float


class Call:
    """One request at a server. It counts as in flight for its model from here until `close`, which must come once.

    Between the choice of a version and this there must be no `await`: the reconciler counts on it.
    """

    def __init__(self, backend: Backend, request: ModelRequest) -> None:
        self.backend, self.request = backend, request
        self._response: httpx.Response | None = None
        self._has_place = False
        backend.metrics.enter(request.choice.target.model)

    async def open(self) -> httpx.Response:
        """Wait for a slot and send the request; returns once the head of the answer is there, before its body."""
        await self.backend.queue.enter()
        self._has_place = True
        client, (route, body) = self.backend.client, server_request(self.request)
        request = client.build_request(
            "POST",
            self.request.choice.target.url + route,
            content=json.dumps(body).encode(),
            headers={"content-type": "application/json", "x-request-id": self.request.id},
        )
        try:
            self._response = await _head(client, request)
        except (httpx.ConnectError, httpx.RemoteProtocolError, httpx.ReadError):
            # Nothing was answered: often a kept connection that vLLM was closing. Asking twice changes nothing.
            await asyncio.sleep(0.1)
            self._response = await _head(client, request)
        return self._response

    def close(self) -> None:
        """Release everything. Nothing here waits, so that a cancellation cannot interrupt it."""
        if self._has_place:
            self.backend.queue.leave()
        if self._response is not None:
            self.backend.background.start(self._response.aclose())
        self.backend.metrics.leave(self.request.choice.target.model)


async def _head(client: httpx.AsyncClient, request: httpx.Request) -> httpx.Response:
    """The head of the answer. A server that dies as a connection to it opens leaves anyio with a socket that has no
    peer, which httpx does not call an error of its own; nothing was sent then.
    """
    try:
        return await client.send(request, stream=True)
    except (AttributeError, OSError) as error:
        raise httpx.ConnectError("the connection was closed as it opened", request=request) from error


def server_request(request: ModelRequest) -> tuple[str, Body]:
    """(the route, the body) for the server: the version by its own name there, a stream with its usage, since the
    records need the tokens, and a chat with `neutral` texts.
    """
    body = {**request.body, "model": request.choice.target.model}
    if request.streams and not request.asks_for_usage:
        options = request.body.get("stream_options")
        body["stream_options"] = {**(options if isinstance(options, Mapping) else {}), "include_usage": True}
    if request.path == COMPLETIONS or "messages" not in body:
        return "/completions", body
    return "/chat/completions", neutral(body, request.special)


def neutral(body: Body, special: SpecialTexts) -> Body:
    """`body` of a chat with the special texts broken up in all that the template renders: no message can open or end
    a turn.

    That holds for /v1 too: clients say whose turn it is by `role`. A raw prompt (/v1/completions) is entirely the
    client's and passes unchanged.
    """
    messages = body["messages"]
    if isinstance(messages, list):
        body = {**body, "messages": [_unescaped(entry) for entry in messages]}
    return {**body, **{name: special.neutral_in(body[name]) for name in RENDERED if name in body}}


def _unescaped(message: object) -> object:
    """`message`, its calls' arguments written again where they are JSON: an escape must not hide a special token that
    vLLM would read from it.
    """
    calls = message.get("tool_calls") if isinstance(message, dict) else None
    if not isinstance(message, dict) or not isinstance(calls, list):
        return message
    return {**message, "tool_calls": [_unescaped_call(call) for call in calls]}


def _unescaped_call(call: object) -> object:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(call, dict) or not isinstance(function, dict) or not isinstance(function.get("arguments"), str):
        return call
    try:
        arguments = json.dumps(json.loads(function["arguments"]), ensure_ascii=False)
    except (ValueError, RecursionError):
        return call  # vLLM refuses it
    return {**call, "function": {**function, "arguments": arguments}}


def refusal_of(error: Exception) -> Refusal:
    """The refusal for trouble with a server; a Refusal as it is."""
    if isinstance(error, Refusal):
        return error
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        return Refusal(
            503,
            "backend_down",
            "The model's server does not answer; it may be starting. Try again in a moment.",
            wait=5,
        )
    if isinstance(error, httpx.TimeoutException | TimeoutError):
        return Refusal(
            504, "backend_timeout", "The model's server took too long; ask for fewer tokens, or try again later."
        )
    return Refusal(502, "backend_died", "The model's server failed in the middle of the answer; try again.")


def refusal_of_status(status: int) -> Refusal | None:
    """The refusal for the status of a server without an answer; None for 200, and for 400 and 422, which concern the
    client's own fields.
    """
    if status in (200, 400, 422):
        return None
    if status in (404, 429, 503):  # it has just started, and the reconciler has not loaded the adapter yet
        return Refusal(503, "backend_not_ready", "The model is being loaded; try again in a moment.", wait=5)
    return backend_error(status)


def backend_error(status: int) -> Refusal:
    """The refusal for a server that failed."""
    return Refusal(502, "backend_error", f"The model's server failed (status {status}).")
