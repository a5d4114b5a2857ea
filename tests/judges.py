"""An endpoint that speaks OpenAI's chat completions on a real socket, and fails as it is told."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Reply:
    """What one question gets: a text, or a status with headers and a body."""

    text: str = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    delay: float = 0.0
    hang_up: bool = False


@dataclass
class Endpoint:
    """What it answers, and what it was asked; both may be changed and read while it runs."""

    answer: Callable[[dict], Reply]
    models: tuple[str, ...] = ("judge-7b",)
    asked: list[dict] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    at_once: int = 0  # questions that are being answered now,
    most_at_once: int = 0  # and the most of them so far
    lock: threading.Lock = field(default_factory=threading.Lock)


class Handler(BaseHTTPRequestHandler):
    """Answers for the endpoint that its server has."""

    def log_message(self, *_: object) -> None:
        """Print nothing."""

    def do_GET(self) -> None:
        """The list of models."""
        names = [{"id": name} for name in self.server.endpoint.models]
        self._send(200, json.dumps({"data": names}).encode(), {})

    def do_POST(self) -> None:
        """A chat completion."""
        endpoint: Endpoint = self.server.endpoint
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with endpoint.lock:
            endpoint.asked.append(body)
            endpoint.keys.append(self.headers.get("Authorization"))
            endpoint.at_once += 1
            endpoint.most_at_once = max(endpoint.most_at_once, endpoint.at_once)
            reply = endpoint.answer(body)
        try:
            self._reply(reply)
        finally:
            with endpoint.lock:
                endpoint.at_once -= 1

    def _reply(self, reply: Reply) -> None:
        if reply.delay:
            threading.Event().wait(reply.delay)
        if reply.hang_up:
            self.close_connection = True
            return
        choice = {"message": {"role": "assistant", "content": reply.text}, "finish_reason": "stop"}
        told = json.dumps({"choices": [choice]}).encode() if reply.body is None else reply.body
        self._send(reply.status, told, reply.headers)

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Server(ThreadingHTTPServer):
    """A server of an endpoint; clients may hang up on it."""

    daemon_threads = True

    def __init__(self, endpoint: Endpoint, port: int) -> None:
        self.endpoint = endpoint
        super().__init__(("127.0.0.1", port), Handler)

    def handle_error(self, *_: object) -> None:
        """Print nothing."""


@contextmanager
def running(endpoint: Endpoint, port: int = 0) -> Iterator[str]:
    """The URL of the endpoint while it runs."""
    server = Server(endpoint, port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


def parts(body: dict) -> dict[str, str]:
    """{name: text} of the marked parts of a question."""
    text = body["messages"][-1]["content"]
    mark = " ".join(text.split(" ", 2)[:2])
    pieces = [piece.partition("\n") for piece in text.split(mark + " ")[1:]]
    return {name: content.rstrip("\n") for name, _, content in pieces}


def longer_wins(body: dict) -> Reply:
    """A judge who prefers the longer answer."""
    read = parts(body)
    a, b = len(read["answer A"]), len(read["answer B"])
    return Reply(f"Hm.\nVERDICT: {'TIE' if a == b else 'A' if a > b else 'B'}")
