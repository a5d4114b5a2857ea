"""Middleware in front of vLLM's own routes (`--middleware`), for servers whose versions may have a labeller.

It sees the chats, and the adapters that come and go while the server runs. Everything else passes unchanged.
"""

import json
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from tasks.errors import AnnealError
from tasks.serve.cascade.labellers import Labellers
from tasks.serve.cascade.prefill import Body, Message, PrefixedSend, Send, question, with_beginning
from tasks.serve.cascade.start import LABELLED, LABELLERS, has_labeller

CHAT, LOAD, UNLOAD = "/v1/chat/completions", "/v1/load_lora_adapter", "/v1/unload_lora_adapter"
Receive = Callable[[], Awaitable[Message]]
App = Callable[[Message, Receive, Send], Awaitable[None]]


class Cascade:
    """The ASGI middleware."""

    def __init__(self, app: App) -> None:
        folders = json.loads(os.environ.get(LABELLERS, "{}"))
        self.app, self.labellers = app, Labellers({name: Path(folder) for name, folder in folders.items()})

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Pass a request on, with labels if its version has a labeller."""
        route = scope["path"] if scope["type"] == "http" and scope["method"] == "POST" else ""
        routes = {CHAT: self._chat, LOAD: self._load, UNLOAD: self._unload}
        if route not in routes or (route == CHAT and not self.labellers):
            return await self.app(scope, receive, send)
        raw = await _read(receive)
        if raw is None:
            return None  # the client left
        try:
            await routes[route](raw, scope, receive, send)
        except AnnealError as error:
            await _refuse(send, str(error))

    async def _chat(self, raw: bytes, scope: Message, receive: Receive, send: Send) -> None:
        body = _parsed(raw)
        name = body.get("model") or ""
        messages = question(body) if isinstance(name, str) and name in self.labellers else None
        if messages is not None:
            beginning, columns = await self.labellers.tell(name, messages)
            if changed := with_beginning(body, beginning, columns):
                raw, send = json.dumps(changed).encode(), PrefixedSend(send, beginning)
        await self.app(_with_length(scope, len(raw)), _again(raw, receive), send)

    async def _load(self, raw: bytes, scope: Message, receive: Receive, send: Send) -> None:
        """Load a version's labeller first: without it the version would answer without labels."""
        body = _parsed(raw)
        name, path = body.get("lora_name"), body.get("lora_path")
        if isinstance(name, str) and isinstance(path, str) and has_labeller(path):
            await self.labellers.add(name, Path(path))
            send = _with_header(send, LABELLED.encode(), b"yes")
        await self.app(scope, _again(raw, receive), send)

    async def _unload(self, raw: bytes, scope: Message, receive: Receive, send: Send) -> None:
        """Remove the labeller once vLLM has unloaded the version, before the client may load it again."""
        name = str(_parsed(raw).get("lora_name"))

        async def watched(message: Message) -> None:
            if message.get("status") == 200:
                self.labellers.remove(name)
            await send(message)

        await self.app(scope, _again(raw, receive), watched)


async def _read(receive: Receive) -> bytes | None:
    """The body of a request; None when the client leaves before it is whole."""
    parts: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


def _again(raw: bytes, receive: Receive) -> Receive:
    """A `receive` that begins with the body `raw`."""
    is_read = False

    async def replay() -> Message:
        nonlocal is_read
        if is_read:
            return await receive()
        is_read = True
        return {"type": "http.request", "body": raw, "more_body": False}

    return replay


def _parsed(raw: bytes) -> Body:
    """The JSON object in `raw`; an empty one where it is not one, which vLLM refuses."""
    try:
        value: Any = json.loads(raw)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _with_length(scope: Message, length: int) -> Message:
    headers = [(name, value) for name, value in scope["headers"] if name.lower() != b"content-length"]
    return {**scope, "headers": [*headers, (b"content-length", str(length).encode())]}


def _with_header(send: Send, name: bytes, value: bytes) -> Send:
    async def more(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), (name, value)]}
        await send(message)

    return more


async def _refuse(send: Send, sentence: str) -> None:
    """500 in OpenAI's form, and the same in the log: an answer without its labels would be a wrong one."""
    print(sentence, file=sys.stderr, flush=True)
    error = {"message": sentence, "type": "internal_error", "param": None, "code": 500}
    body = json.dumps({"error": error}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 500, "headers": headers})
    await send({"type": "http.response.body", "body": body})
