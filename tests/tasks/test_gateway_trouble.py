"""Too much at once, and backends or clients that go away: a clear error, never a hang or half an answer that looks
whole, and every place freed.
"""

import json
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx
import openai
import pytest

from tests.stub_vllm import Stub
from tests.tasks.gateway import chat, events, refused, running_gateway, wait_for

pytestmark = pytest.mark.slow  # each test starts servers or processes


def test_one_request_too_many_for_a_key(tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    with running_gateway(tmp_path, requests_per_minute=3) as gateway:
        client = openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=gateway.key, max_retries=0)
        for _ in range(3):
            client.models.list()
        with pytest.raises(openai.RateLimitError) as error:
            client.models.list()
        assert 1 <= int(error.value.response.headers["retry-after"]) <= 61
    [line] = [json.loads(line) for line in capfd.readouterr().out.splitlines() if '"status": 429' in line]
    assert line["key_id"] == gateway.key.split("-")[1]


def test_a_full_queue_says_so_at_once_and_recovers(tmp_path: Path) -> None:
    """Two are answered and two wait: one more is told so. When the first two leave, the two that waited are
    answered.
    """
    stub = Stub(adapters={"triage@1": ""}, token_delay=60)
    with (
        running_gateway(tmp_path, stub, max_running=2, max_waiting=2, timeout=30) as gateway,
        gateway.client() as client,
        ThreadPoolExecutor(2) as pool,
        ExitStack() as streams,
    ):
        for _ in range(2):
            streams.enter_context(client.stream("POST", "/v1/chat/completions", json=chat(stream=True)))
        waiting = [pool.submit(client.post, "/v1/chat/completions", json=chat(), timeout=30) for _ in range(2)]
        wait_for(lambda: gateway.metric("anneal_waiting") == 2, "full queue")
        assert gateway.metric("anneal_in_flight", model="triage@1") == 4
        for _ in range(8):
            answer = client.post("/v1/chat/completions", json=chat())
            refused(answer, 429, "queue_full")
            assert answer.headers["retry-after"] and answer.elapsed.total_seconds() < 1
        streams.close()
        assert [asked.result().status_code for asked in waiting] == [200, 200]
        wait_for(
            lambda: gateway.queue.is_idle() and stub.running == 0 and gateway.state.metrics._running == {},
            "free place",
        )
        assert gateway.metric("anneal_refused_total", reason="queue_full") == 8


def test_a_client_that_hangs_up_frees_its_place(tmp_path: Path) -> None:
    """In mid-stream, before an answer, and in the queue: the request is cancelled at vLLM, and the next one gets the
    place.
    """
    stub = Stub(adapters={"triage@1": ""}, token_delay=0.2)
    with running_gateway(tmp_path, stub, max_running=1, timeout=30) as gateway, gateway.client() as client:
        with client.stream("POST", "/v1/chat/completions", json=chat(stream=True)) as answer:
            next(answer.iter_raw())
        wait_for(lambda: stub.cancelled == 1 and stub.running == 0, "cancellation in mid-stream")
        stub.delay = 20
        with pytest.raises(httpx.ReadTimeout):
            client.post("/v1/chat/completions", json=chat(), timeout=0.2)
        wait_for(lambda: stub.cancelled == 2 and stub.running == 0, "cancellation before the answer")
        with ThreadPoolExecutor(2) as pool:
            both = [pool.submit(client.post, "/v1/chat/completions", json=chat(), timeout=0.3) for _ in range(2)]
            assert all(isinstance(asked.exception(), httpx.ReadTimeout) for asked in both)
        wait_for(
            lambda: stub.running == 0 and gateway.queue.running == 0 and gateway.queue.waiting == 0,
            "free place",
            stub.delay / 2,  # long before the answers would end by themselves
        )
        stub.delay = 0
        assert client.post("/v1/chat/completions", json=chat()).status_code == 200
        assert {row["error"] for row in gateway.rows(least=5)} == {"client_left", None}
        assert gateway.state.metrics._running == {}


def test_a_backend_that_dies_in_mid_stream_leaves_no_whole_answer(tmp_path: Path) -> None:
    stub = Stub(adapters={"triage@1": ""}, die_after=3)
    with running_gateway(tmp_path, stub) as gateway, gateway.client() as client:
        text = client.post("/v1/chat/completions", json=chat(stream=True)).text
        assert len(events(text)) == 4 and events(text)[-1]["error"]["code"] == "backend_died" and "[DONE]" not in text
        with pytest.raises(openai.APIError) as error:
            list(
                openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=gateway.key, max_retries=0).chat.completions.create(
                    **chat(stream=True)
                )
            )
        assert error.value.code == "backend_died"
        stub.die_after = 0
        refused(client.post("/v1/chat/completions", json=chat()), 502, "backend_died")
        rows = gateway.rows(least=3)
        assert [(row["status"], row["error"], row["valid"]) for row in rows] == [(502, "backend_died", None)] * 3
        assert gateway.queue.running == 0 and gateway.state.metrics._running == {}


def test_a_backend_that_is_slow_or_broken_or_not_ready(tmp_path: Path) -> None:
    stub = Stub(adapters={"triage@1": ""}, delay=5)
    with running_gateway(tmp_path, stub, timeout=0.3) as gateway, gateway.client() as client:
        refused(client.post("/v1/chat/completions", json=chat()), 504, "backend_timeout")
        stub.delay, stub.token_delay = 0, 5
        assert (
            events(client.post("/v1/chat/completions", json=chat(stream=True)).text)[-1]["error"]["code"]
            == "backend_timeout"
        )
        stub.token_delay, stub.status = 0, 500
        assert (
            "planted" not in refused(client.post("/v1/chat/completions", json=chat()), 502, "backend_error")["message"]
        )
        stub.status, stub.adapters = 200, {}
        answer = client.post("/v1/chat/completions", json=chat())
        refused(answer, 503, "backend_not_ready")
        assert answer.headers["retry-after"] and answer.headers["x-request-id"]
        assert gateway.queue.running == 0 and gateway.state.metrics._running == {}


def test_a_backend_that_is_down(tmp_path: Path) -> None:
    """A closed port is a clear error at once, and not the end of a wait (`backend_timeout`)."""
    with running_gateway(tmp_path) as gateway, gateway.client() as client:
        with socket.create_server(("127.0.0.1", 0)) as closed:
            port = closed.getsockname()[1]
        table = json.loads(
            (tmp_path / "routes.json")
            .read_text()
            .replace(
                gateway.state.follower.table.tasks["triage"].targets["champion"].url, f"http://127.0.0.1:{port}/v1"
            )
        )
        (tmp_path / "routes.json").write_text(json.dumps({**table, "revision": 2}))
        wait_for(lambda: gateway.metric("anneal_routes_revision") == 2, "table")
        refused(client.post("/v1/chat/completions", json=chat()), 503, "backend_down")
        assert client.get("/ready").status_code == 503


@pytest.mark.parametrize(("closed", "status"), [(1, 200), (1000, 503)])
def test_a_connection_that_closes_as_it_opens_is_tried_once_more_and_is_no_mistake_of_the_gateway(
    closed: int, status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """anyio asks the socket for its peer, which is gone: an AttributeError, and no error of httpx."""
    from httpcore._backends.anyio import AnyIOStream

    known, lost = AnyIOStream.get_extra_info, []

    def get_extra_info(stream: AnyIOStream, info: str) -> object:
        if len(lost) < closed:
            lost.append(info)
            raise AttributeError("'NoneType' object has no attribute 'getpeername'")
        return known(stream, info)

    with running_gateway(tmp_path) as gateway, gateway.client() as client:
        monkeypatch.setattr(AnyIOStream, "get_extra_info", get_extra_info)
        answer = client.post("/v1/chat/completions", json=chat())
        assert answer.status_code == status and 1 <= len(lost) <= closed
        if status == 503:
            refused(answer, 503, "backend_down")
        wait_for(gateway.queue.is_idle, "free place")
