"""The gateway says which table it follows and which requests run; only where nobody listens there is none."""

import socket
import threading
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tasks.serve.params import Gateway
from tasks.serve.reconcile import gateway
from tasks.serve.routes import FOLLOWED, Followed
from tests.stub_vllm import Stub
from tests.tasks import serving
from tests.tasks.gateway import RunningGateway, chat, running_gateway, wait_for

pytestmark = pytest.mark.slow  # each test listens on a socket


def look(running: RunningGateway) -> Followed | None:
    return gateway.followed(Gateway(port=urlsplit(running.url).port))


def test_the_revision_and_the_requests_in_flight_are_read_back_as_they_are(tmp_path: Path) -> None:
    with running_gateway(tmp_path, Stub(delay=1.0, adapters={"triage@1": ""}), max_running=1) as running:
        assert look(running) == Followed(1)
        with running.client() as client:
            threads = [
                threading.Thread(target=client.post, args=("/v1/chat/completions",), kwargs={"json": chat()})
                for _ in range(2)
            ]
            for thread in threads:
                thread.start()
            wait_for(lambda: look(running) == Followed(1, 1, {"triage@1": 2}), "request that waits")
            for thread in threads:
                thread.join()
        assert look(running) == Followed(1) and httpx.get(running.url + FOLLOWED).json()["in_flight"] == {}


@pytest.mark.parametrize("followed", [None, {}, {"revision": "seven"}, {"revision": 1, "in_flight": [1]}])
def test_a_gateway_that_does_not_say_is_unknown_and_never_none(followed: dict[str, object] | None) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with serving.gateway(port, followed):
        assert gateway.followed(Gateway(port=port)) == gateway.UNKNOWN
        assert gateway.presence(Gateway(port=port)) is gateway.Presence.ANSWERS
    assert gateway.followed(Gateway(port=port)) is None
