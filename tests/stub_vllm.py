"""A backend that speaks vLLM's API and has no model, for tests and benches.

In a test, `with running(Stub()) as url:`; as a program, `.venv/bin/python -m tests.stub_vllm --port 19000`.
"""

import argparse
import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from tests.stub_answers import pieces, whole

ANSWER = (
    '{"category": "technical", "intent": "device_offline", "priority": "normal", "reply": "Please restart the '
    'hub and try again."}'
)


@dataclass
class Stub:
    """How the backend behaves, and what it saw; both may be read and changed while it runs."""

    base: str = "base"  # the name of the model without an adapter
    delay: float = 0.0  # seconds until an answer, or the first piece of a stream
    token_delay: float = 0.0  # seconds between pieces of a stream
    slots: int = 10_000  # requests worked on at once; the others wait, as in vLLM
    answer: Callable[[dict], str] = lambda body: ANSWER  # body of a request → text of its answer
    # body → {column: {class: share}} of a model that tells classes
    probabilities: Callable[[dict], object] | None = None
    # body → token ids of its prompt and of its answer
    tokens: Callable[[dict], tuple[list[int], list[int]]] | None = None
    end: int | None = None  # the token without which an answer of `tokens` was cut at max_tokens; None: each has ended
    max_model_len: int | None = None  # tokens; more are refused, where `tokens` counts them
    # pieces of a stream after which the connection breaks; 0 breaks an answer without a stream too
    die_after: int | None = None
    status: int = 200  # of every answer, when it is not 200
    healthy: bool = True
    load_delay: float = 0.02  # seconds that loading an adapter takes
    adapters: dict[str, str] = field(default_factory=dict)  # name: path
    bodies: list[dict] = field(default_factory=list)  # of the latest requests
    served: int = 0
    running: int = 0
    cancelled: int = 0  # clients that hung up before the answer ended
    unloaded_in_use: int = 0  # requests whose adapter was unloaded before their answer ended
    _free: asyncio.Semaphore | None = None

    async def __call__(self, scope: dict, receive: Callable, send: Callable) -> None:
        """The ASGI application."""
        if scope["type"] != "http":
            return
        body = await _body(receive)
        path = scope["path"]
        if path == "/health":
            await _reply(send, 200 if self.healthy else 503, b"")
        elif path == "/v1/models":
            model = {"object": "model", "created": 0, "owned_by": "vllm"}
            names = [self.base, *self.adapters]
            await _json(send, 200, {"object": "list", "data": [{"id": name, **model} for name in names]})
        elif path in ("/v1/load_lora_adapter", "/v1/unload_lora_adapter"):
            await self._adapter(send, path, json.loads(body))
        elif path in ("/v1/chat/completions", "/v1/completions"):
            await self._complete(receive, send, json.loads(body), chat="chat" in path)
        else:
            await _json(send, 404, {"detail": "Not Found"})

    async def _adapter(self, send: Callable, path: str, body: dict) -> None:
        name = body["lora_name"]
        if path.endswith("/load_lora_adapter"):
            if name in self.adapters and not body.get("load_inplace"):
                return await _refuse(
                    send, 400, f"The lora adapter '{name}' has already been loaded.", "InvalidUserInput"
                )
            await asyncio.sleep(self.load_delay)
            self.adapters[name] = body["lora_path"]
            return await _reply(
                send, 200, f"Success: LoRA adapter '{name}' added successfully.".encode(), b"text/plain"
            )
        if self.adapters.pop(name, None) is None:
            return await _refuse(send, 404, f"The lora adapter '{name}' cannot be found.", "NotFoundError")
        await _reply(send, 200, f"Success: LoRA adapter '{name}' removed successfully.".encode(), b"text/plain")

    async def _complete(self, receive: Callable, send: Callable, body: dict, chat: bool) -> None:
        self.bodies = [*self.bodies[-99:], body]
        if body.get("model") != self.base and body.get("model") not in self.adapters:
            return await _refuse(send, 404, f"The model `{body.get('model')}` does not exist.", "NotFoundError")
        if self.status != 200:
            return await _refuse(send, self.status, "planted", "InternalServerError")
        if (
            self.tokens
            and self.max_model_len is not None
            and len(self.tokens(body)[0]) + body["max_tokens"] > self.max_model_len
        ):
            return await _refuse(
                send,
                400,
                f"This model's maximum context length is {self.max_model_len} tokens. Please reduce …",
                "BadRequestError",
            )
        self._free = self._free or asyncio.Semaphore(self.slots)
        try:
            async with self._free:
                self.running += 1
                try:
                    await self._work(receive, send, body, chat)
                finally:
                    self.running -= 1
        except ConnectionAbortedError:
            self.cancelled += 1

    async def _work(self, receive: Callable, send: Callable, body: dict, chat: bool) -> None:
        await _pause(receive, self.delay)
        answer = whole(body, self.answer(body), chat)
        if self.probabilities:
            answer["choices"][0]["probabilities"] = self.probabilities(body)
        if self.tokens and body.get("return_token_ids"):
            answer["prompt_token_ids"], tokens = self.tokens(body)
            ended = self.end is None or self.end in tokens[-1:]
            answer["choices"][0] |= {"token_ids": tokens, "finish_reason": "stop" if ended else "length"}
        if self.die_after == 0:
            await _start(send, 200, b"application/json", 1000)
            raise RuntimeError("planted: the backend died")
        if not body.get("stream"):
            await _json(send, 200, answer)
        else:
            await self._stream(receive, send, body, answer, chat)
        self.served += 1
        self.unloaded_in_use += body["model"] != self.base and body["model"] not in self.adapters

    async def _stream(self, receive: Callable, send: Callable, body: dict, answer: dict, chat: bool) -> None:
        await _start(send, 200, b"text/event-stream; charset=utf-8")
        for count, piece in enumerate(pieces(body, answer, chat)):
            if count == self.die_after:
                raise RuntimeError("planted: the backend died in mid-stream")
            if count:
                await _pause(receive, self.token_delay)
            event = b"data: " + json.dumps(piece).encode() + b"\n\n"
            await send({"type": "http.response.body", "body": event, "more_body": True})
        await send({"type": "http.response.body", "body": b"data: [DONE]\n\n", "more_body": False})


async def _body(receive: Callable) -> bytes:
    parts = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


async def _pause(receive: Callable, seconds: float) -> None:
    """Wait; ConnectionAbortedError as soon as the client hangs up."""
    with suppress(TimeoutError):
        await asyncio.wait_for(receive(), max(seconds, 1e-4))
        raise ConnectionAbortedError


async def _reply(send: Callable, status: int, content: bytes, kind: bytes = b"application/json") -> None:
    await _start(send, status, kind, len(content))
    await send({"type": "http.response.body", "body": content})


async def _start(send: Callable, status: int, kind: bytes, length: int | None = None) -> None:
    headers = [(b"content-type", kind)]
    if length is not None:
        headers.append((b"content-length", str(length).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})


async def _json(send: Callable, status: int, value: dict) -> None:
    await _reply(send, status, json.dumps(value).encode())


async def _refuse(send: Callable, status: int, message: str, kind: str) -> None:
    await _json(send, status, {"error": {"message": message, "type": kind, "param": None, "code": status}})


@contextmanager
def running(stub: Stub, port: int = 0) -> Iterator[str]:
    """Serve `stub` from a thread of this process, on a free port or `port`; yields its URL with /v1."""
    import uvicorn

    server = uvicorn.Server(
        uvicorn.Config(
            stub, host="127.0.0.1", port=port, log_level="critical", lifespan="off", timeout_graceful_shutdown=1
        )
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.005)
    if not server.started:
        raise OSError(f"the stub cannot listen on port {port}")
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/v1"
    finally:
        server.should_exit = True
        thread.join(5)


def main() -> None:
    """Serve a stub until it is told to stop."""
    import uvicorn

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=19000)
    parser.add_argument("--base", default="base")
    parser.add_argument("--delay", type=float, default=0.0, help="seconds until an answer")
    parser.add_argument("--token-delay", type=float, default=0.0, help="seconds between pieces of a stream")
    parser.add_argument("--slots", type=int, default=10_000, help="requests worked on at once")
    parser.add_argument("--adapter", action="append", default=[], help="a name that is loaded from the start")
    options = parser.parse_args()
    stub = Stub(
        options.base, options.delay, options.token_delay, options.slots, adapters=dict.fromkeys(options.adapter, "")
    )
    uvicorn.run(stub, host="127.0.0.1", port=options.port, log_level="warning", access_log=False, lifespan="off")


if __name__ == "__main__":
    main()
