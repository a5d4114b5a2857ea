"""What must not get in, and what happens when a backend or a client goes away: a clear error in OpenAI's format, nothing leaked, every place freed."""

import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import openai
import pytest

from bench.stub_vllm import Stub
from tests.tasks.gateway import House, chat, events, house, wait_for

PNG = "data:image/png;base64,AAAA"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One gateway that refuses."""
    with house(tmp_path_factory.mktemp("gateway"), max_body_kib=64) as found:
        yield found


def refused(answer: httpx.Response, status: int, code: str | None = None) -> dict:
    """The error of a refusal in OpenAI's format."""
    assert answer.status_code == status, answer.text
    assert set(answer.json()) == {"error"}
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
    assert "Traceback" not in answer.text and "/site-packages/" not in answer.text
    assert code is None or answer.json()["error"]["code"] == code
    return answer.json()["error"]


def part(**content: object) -> dict:
    """A chat with one part of content."""
    return {"messages": [{"role": "user", "content": [{"type": "text", "text": "look"}, content]}]}


BAD_CHATS = {
    "n": {"n": 16384},
    "n × max_tokens": {"n": 4, "max_tokens": 600},
    "n is a text": {"n": "2"},
    "n is true": {"n": True},
    "max_tokens": {"max_tokens": 1025},
    "max_completion_tokens": {"max_completion_tokens": 10**30},
    "max_tokens hides behind the other": {"max_completion_tokens": 1, "max_tokens": 5000},
    "max_tokens 0": {"max_tokens": 0},
    "best_of": {"best_of": 2},
    "prompt_logprobs": {"prompt_logprobs": 1},
    "prompt_logprobs 0": {"prompt_logprobs": 0.0},
    "prompt_logprobs by another name": {"echo": True, "logprobs": True, "top_logprobs": 1},
    "beam search": {"use_beam_search": True},
    "another server": {"kv_transfer_params": {"remote_host": "example.org"}},
    "image": part(type="image_url", image_url={"url": "http://127.0.0.1:1/x.png"}),
    "image inline": part(type="image_url", image_url={"url": PNG}),
    "image without a type": part(image_url="http://127.0.0.1:1/x.png"),
    "image that calls itself text": part(type="text", text="x", image_url="http://127.0.0.1:1/x.png"),
    "audio": part(type="input_audio", input_audio={"data": "AAAA", "format": "wav"}),
    "video": part(type="video_url", video_url={"url": "http://127.0.0.1:1/x.mp4"}),
    "file": part(type="file", file={"file_id": "x"}),
    "part that is a number": {"messages": [{"role": "user", "content": [3]}]},
    "content that is a number": {"messages": [{"role": "user", "content": 3}]},
    "no content": {"messages": [{"role": "user"}]},
    "no role": {"messages": [{"content": "x"}]},
    "messages that are a text": {"messages": "hello"},
    "no messages": {"messages": []},
    "model that is a number": {"model": 3},
    "model that is nothing": {"model": None},
    "stream that is a text": {"stream": "yes"},
    "stream_options": {"stream": True, "stream_options": "all"},
}


@pytest.mark.parametrize("name", BAD_CHATS)
def test_a_chat_that_must_not_reach_vllm(home: House, name: str) -> None:
    seen = len(home.stub.bodies)
    with home.client() as client:
        refused(client.post("/v1/chat/completions", json={**chat(), **BAD_CHATS[name]}), 400)
    assert len(home.stub.bodies) == seen


def test_a_good_chat_does(home: House) -> None:
    """The guard of the guards: each of them lets its harmless neighbour pass."""
    good = [{"n": 2, "max_tokens": 512}, {"echo": True}, {"logprobs": True, "top_logprobs": 2}, {"prompt_logprobs": None}, part(type="text", text="more"), {"stream": None}]
    with home.client() as client:
        assert [client.post("/v1/chat/completions", json={**chat(), **more}).status_code for more in good] == [200] * len(good)


BAD_PROMPTS = [3, [], ["a", 3], ["a"] * 2000, [[1], []], None]


@pytest.mark.parametrize("body", [*({"prompt": prompt} for prompt in BAD_PROMPTS), {"prompt": "a", "echo": True, "logprobs": 0}, {"prompt": "a", "prompt_embeds": "AAAA"}])
def test_a_completion_that_must_not_reach_vllm(home: House, body: dict) -> None:
    with home.client() as client:
        refused(client.post("/v1/completions", json={"model": "triage", **body}), 400)


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"[]", b'"text"', b"\xff\xfe{}", b'{"model": NaN}', b"[" * 60_000, b'{"model": ' + b"9" * 6000 + b"}", json.dumps(chat("\ud800")).encode()], ids=range(9)
)
def test_a_body_that_is_no_json_object(home: House, raw: bytes) -> None:
    with home.client() as client:
        for path in ("/v1/chat/completions", "/tasks/triage", "/feedback", "/admin/commands"):
            refused(client.post(path, content=raw, headers={"content-type": "application/json"}), 400)


BAD_TASKS = [
    {"text": 3},
    {"text": ""},
    {"text": " \n"},
    {"input": {"subject": "x"}},
    {"input": {"subject": "x", "body": "y", "z": "w"}},
    {"input": {"subject": 1, "body": "y"}},
    {},
]


@pytest.mark.parametrize("body", BAD_TASKS)
def test_a_task_that_is_asked_wrongly(home: House, body: dict) -> None:
    with home.client() as client:
        refused(client.post("/tasks/triage", json=body), 400)
        refused(client.post("/tasks/triage", content=b"\xff\xfe", headers={"content-type": "text/plain"}), 400, "invalid_utf8")
        refused(client.post("/tasks/triage", data={"text": "x"}), 415)


def test_a_body_that_is_too_large(home: House) -> None:
    """By its header, before a byte is read; and by what comes, when the header says nothing."""
    with home.client() as client:
        refused(client.post("/v1/chat/completions", json=chat("x" * 70_000)), 413)
        refused(client.post("/tasks/triage", content=(b"x" * 1000 for _ in range(70)), headers={"content-type": "text/plain"}), 413)
        assert client.post("/tasks/triage", json={"text": "hi"}).status_code == 200


CLOSED = "/pause /update_weights /v1/load_lora_adapter /v1/unload_lora_adapter /sleep /v1/embeddings /collective_rpc /tokenize /docs /openapi.json".split()


@pytest.mark.parametrize("path", [*CLOSED, "/v1/chat/completions/", "/v1/../pause", "//pause"])
def test_no_other_way_leads_to_vllm(home: House, path: str) -> None:
    with home.client() as client:
        for method in ("GET", "POST"):
            refused(client.request(method, path), 404)


def test_a_wrong_method(home: House) -> None:
    with home.client() as client:
        refused(client.get("/v1/chat/completions"), 405)
        refused(client.delete("/v1/models"), 405)


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer x", "Basic {key}", "Bearer {key}x", "{key}", "Bearer anneal-00000000-" + "x" * 43])
def test_no_key_no_answer(home: House, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header.format(key=home.key)}
    for method, path in (
        ("POST", "/v1/chat/completions"),
        ("GET", "/v1/models"),
        ("POST", "/tasks/triage"),
        ("POST", "/feedback"),
        ("POST", "/admin/commands"),
        ("GET", "/admin/commands/1"),
    ):
        error = refused(httpx.request(method, home.url + path, headers=headers), 401, "invalid_api_key")
        assert home.key not in error["message"]


def test_unknown_names(home: House) -> None:
    with home.client() as client:
        for name in ("nobody", "triage@9", "../etc", "x" * 5000):
            refused(client.post("/v1/chat/completions", json=chat() | {"model": name}), 404, "model_not_found")
        refused(client.post("/tasks/nobody", json={"text": "hi"}), 404, "model_not_found")


def test_one_request_too_many_for_a_key(tmp_path: Path) -> None:
    with house(tmp_path, requests_per_minute=3) as home:
        client = openai.OpenAI(base_url=f"{home.url}/v1", api_key=home.key, max_retries=0)
        for _ in range(3):
            client.models.list()
        with pytest.raises(openai.RateLimitError) as error:
            client.models.list()
        assert 1 <= int(error.value.response.headers["retry-after"]) <= 61


def test_a_full_queue_says_so_at_once_and_recovers(tmp_path: Path) -> None:
    stub = Stub(adapters={"triage@1": ""}, delay=0.5)
    with house(tmp_path, stub, max_running=2, max_waiting=2) as home, ThreadPoolExecutor(12) as pool:

        def ask(_: int) -> tuple[int, float, str | None]:
            with home.client() as client:
                started = time.monotonic()
                answer = client.post("/v1/chat/completions", json=chat())
            return answer.status_code, time.monotonic() - started, answer.headers.get("retry-after")

        found = list(pool.map(ask, range(12)))
        assert sorted(status for status, _, _ in found) == [200] * 4 + [429] * 8
        assert all(seconds < 0.4 and wait for status, seconds, wait in found if status == 429)
        assert stub.running == 0 and ask(0)[0] == 200
        assert home.metric("anneal_waiting") == 0 and home.door.metrics._running == {}
        assert home.metric("anneal_refused_total", reason="queue_full") == 8


def test_a_client_that_hangs_up_frees_its_place(tmp_path: Path) -> None:
    """In mid-stream, before an answer, and in the queue: the request is cancelled at vLLM, and the next one gets the place."""
    stub = Stub(adapters={"triage@1": ""}, token_delay=0.2)
    with house(tmp_path, stub, max_running=1, timeout=30) as home, home.client() as client:
        with client.stream("POST", "/v1/chat/completions", json=chat(stream=True)) as answer:
            next(answer.iter_raw())
        wait_for(lambda: stub.cancelled == 1 and stub.running == 0, "cancellation in mid-stream", 2)
        stub.delay = 20
        with pytest.raises(httpx.ReadTimeout):
            client.post("/v1/chat/completions", json=chat(), timeout=0.2)
        wait_for(lambda: stub.cancelled == 2 and stub.running == 0, "cancellation before the answer", 2)
        with ThreadPoolExecutor(2) as pool:
            both = [pool.submit(client.post, "/v1/chat/completions", json=chat(), timeout=0.3) for _ in range(2)]
            assert all(isinstance(asked.exception(), httpx.ReadTimeout) for asked in both)
        wait_for(lambda: stub.running == 0 and home.door.places.running == 0 and home.door.places.waiting == 0, "free place", 2)
        stub.delay = 0
        assert client.post("/v1/chat/completions", json=chat()).status_code == 200
        assert {row["error"] for row in home.rows(least=5)} == {"client_left", None}
        assert home.door.metrics._running == {}


def test_a_backend_that_dies_in_mid_stream_leaves_no_whole_answer(tmp_path: Path) -> None:
    stub = Stub(adapters={"triage@1": ""}, die_after=3)
    with house(tmp_path, stub) as home, home.client() as client:
        text = client.post("/v1/chat/completions", json=chat(stream=True)).text
        assert len(events(text)) == 4 and events(text)[-1]["error"]["code"] == "backend_died" and "[DONE]" not in text
        with pytest.raises(openai.APIError, match="broke off"):
            list(openai.OpenAI(base_url=f"{home.url}/v1", api_key=home.key, max_retries=0).chat.completions.create(**chat(stream=True)))
        stub.die_after = 0
        refused(client.post("/v1/chat/completions", json=chat()), 502, "backend_died")
        rows = home.rows(least=3)
        assert [(row["status"], row["error"], row["valid"]) for row in rows] == [(502, "backend_died", None)] * 3
        assert home.door.places.running == 0 and home.door.metrics._running == {}


def test_a_backend_that_is_slow_or_broken_or_not_ready(tmp_path: Path) -> None:
    stub = Stub(adapters={"triage@1": ""}, delay=5)
    with house(tmp_path, stub, timeout=0.3) as home, home.client() as client:
        refused(client.post("/v1/chat/completions", json=chat()), 504, "backend_timeout")
        stub.delay, stub.token_delay = 0, 5
        assert events(client.post("/v1/chat/completions", json=chat(stream=True)).text)[-1]["error"]["code"] == "backend_timeout"
        stub.token_delay, stub.status = 0, 500
        assert "planted" not in refused(client.post("/v1/chat/completions", json=chat()), 502, "backend_error")["message"]
        stub.status, stub.adapters = 200, {}
        answer = client.post("/v1/chat/completions", json=chat())
        refused(answer, 503, "backend_not_ready")
        assert answer.headers["retry-after"] and answer.headers["x-request-id"]
        assert home.door.places.running == 0 and home.door.metrics._running == {}


def test_a_backend_that_is_down(tmp_path: Path) -> None:
    """No hang: a clear error within a second, for a closed port."""
    with house(tmp_path) as home, home.client() as client:
        with socket.create_server(("127.0.0.1", 0)) as closed:
            port = closed.getsockname()[1]
        table = json.loads((tmp_path / "routes.json").read_text().replace(home.door.follower.table.tasks["triage"].targets["champion"].url, f"http://127.0.0.1:{port}/v1"))
        (tmp_path / "routes.json").write_text(json.dumps({**table, "revision": 2}))
        wait_for(lambda: home.metric("anneal_routes_revision") == 2, "table")
        started = time.monotonic()
        refused(client.post("/v1/chat/completions", json=chat()), 503, "backend_down")
        assert time.monotonic() - started < 1
        assert client.get("/ready").status_code == 503


def test_a_request_in_pieces_that_stops(home: House) -> None:
    """Half a request and then nothing, or garbage: the others do not notice."""
    host, port = home.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as half, socket.create_connection((host, int(port))) as garbage:
        half.sendall(f"POST /tasks/triage HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {home.key}\r\nContent-Length: 100\r\n\r\nhalf".encode())
        garbage.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n")
        assert b"400" in garbage.recv(1000).split(b"\r\n")[0]
        with home.client() as client:
            assert client.post("/tasks/triage", json={"text": "hi"}).status_code == 200
