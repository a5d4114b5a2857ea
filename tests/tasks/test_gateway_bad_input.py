"""What must not get in: a clear error in OpenAI's format, and nothing of it reaches vLLM."""

import json
import socket
from collections.abc import Iterator

import httpx
import pytest

from tests.tasks.gateway import RunningGateway, chat, refused, running_gateway

pytestmark = pytest.mark.slow  # each test starts servers or processes

PNG = "data:image/png;base64,AAAA"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """One gateway that refuses."""
    with running_gateway(tmp_path_factory.mktemp("gateway"), max_body_kib=64) as running:
        yield running


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
    "echo": {"echo": True},
    "echo that becomes true": {"echo": "yes"},
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
def test_a_chat_that_must_not_reach_vllm(gateway: RunningGateway, name: str) -> None:
    before = len(gateway.stub.bodies)
    with gateway.client() as client:
        refused(client.post("/v1/chat/completions", json={**chat(), **BAD_CHATS[name]}), 400)
    assert len(gateway.stub.bodies) == before


def test_a_good_chat_does(gateway: RunningGateway) -> None:
    """The guard of the guards: each of them lets its harmless neighbour pass."""
    good = [
        {"n": 2, "max_tokens": 512},
        {"echo": False},
        {"logprobs": True, "top_logprobs": 2},
        {"prompt_logprobs": None},
        part(type="text", text="more"),
        {"stream": None},
    ]
    with gateway.client() as client:
        assert [client.post("/v1/chat/completions", json={**chat(), **more}).status_code for more in good] == [
            200
        ] * len(good)


def test_echo_is_refused_in_a_chat_and_says_why(gateway: RunningGateway) -> None:
    with gateway.client() as client:
        refusal = client.post("/v1/chat/completions", json={**chat(), "echo": True})
        error = refusal.json()["error"]
        assert (refusal.status_code, error["param"], error["code"]) == (400, "echo", "unsupported_parameter")
        assert "`echo` is not allowed here" in error["message"] and "prompt_logprobs" in error["message"]
        completion = {"model": "triage", "prompt": "a", "echo": True}
        assert client.post("/v1/completions", json=completion).status_code == 200  # works out nothing of the prompt


BAD_PROMPTS = [3, [], ["a", 3], ["a"] * 2000, [[1], []], None]


@pytest.mark.parametrize(
    "body",
    [
        *({"prompt": prompt} for prompt in BAD_PROMPTS),
        {"prompt": "a", "echo": True, "logprobs": 0},
        {"prompt": "a", "prompt_embeds": "AAAA"},
    ],
)
def test_a_completion_that_must_not_reach_vllm(gateway: RunningGateway, body: dict) -> None:
    with gateway.client() as client:
        refused(client.post("/v1/completions", json={"model": "triage", **body}), 400)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"[]",
        b'"text"',
        b"\xff\xfe{}",
        b'{"model": NaN}',
        b"[" * 60_000,
        b'{"model": ' + b"9" * 6000 + b"}",
        json.dumps(chat("\ud800")).encode(),
    ],
    ids=range(9),
)
def test_a_body_that_is_no_json_object(gateway: RunningGateway, raw: bytes) -> None:
    with gateway.client() as client:
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
def test_a_task_that_is_asked_wrongly(gateway: RunningGateway, body: dict) -> None:
    with gateway.client() as client:
        refused(client.post("/tasks/triage", json=body), 400)
        refused(
            client.post("/tasks/triage", content=b"\xff\xfe", headers={"content-type": "text/plain"}),
            400,
            "invalid_utf8",
        )
        refused(client.post("/tasks/triage", data={"text": "x"}), 415)


def test_a_body_that_is_too_large(gateway: RunningGateway) -> None:
    """By its header, before a byte is read; and by what comes, when the header says nothing."""
    with gateway.client() as client:
        refused(client.post("/v1/chat/completions", json=chat("x" * 70_000)), 413)
        refused(
            client.post(
                "/tasks/triage", content=(b"x" * 1000 for _ in range(70)), headers={"content-type": "text/plain"}
            ),
            413,
        )
        assert client.post("/tasks/triage", json={"text": "hi"}).status_code == 200


CLOSED = (
    "/pause /update_weights /v1/load_lora_adapter /v1/unload_lora_adapter /sleep /v1/embeddings /collective_rpc "
    "/tokenize /docs /openapi.json"
).split()


@pytest.mark.parametrize("path", [*CLOSED, "/v1/chat/completions/", "/v1/../pause", "//pause"])
def test_no_other_way_leads_to_vllm(gateway: RunningGateway, path: str) -> None:
    with gateway.client() as client:
        for method in ("GET", "POST"):
            refused(client.request(method, path), 404)


def test_a_wrong_method(gateway: RunningGateway) -> None:
    with gateway.client() as client:
        refused(client.get("/v1/chat/completions"), 405)
        refused(client.delete("/v1/models"), 405)


@pytest.mark.parametrize(
    "header",
    [None, "", "Bearer", "Bearer x", "Basic {key}", "Bearer {key}x", "{key}", "Bearer anneal-00000000-" + "x" * 43],
)
def test_no_key_no_answer(gateway: RunningGateway, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header.format(key=gateway.key)}
    for method, path in (
        ("POST", "/v1/chat/completions"),
        ("GET", "/v1/models"),
        ("POST", "/tasks/triage"),
        ("POST", "/feedback"),
        ("POST", "/admin/commands"),
        ("GET", "/admin/commands/1"),
    ):
        error = refused(httpx.request(method, gateway.url + path, headers=headers), 401, "invalid_api_key")
        assert gateway.key not in error["message"]


def test_unknown_names(gateway: RunningGateway) -> None:
    with gateway.client() as client:
        for name in ("nobody", "triage@9", "../etc", "x" * 5000):
            refused(client.post("/v1/chat/completions", json=chat() | {"model": name}), 404, "model_not_found")
        refused(client.post("/tasks/nobody", json={"text": "hi"}), 404, "model_not_found")


def test_a_request_in_pieces_that_stops(gateway: RunningGateway) -> None:
    """Half a request and then nothing, or garbage: the others do not notice."""
    host, port = gateway.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as half, socket.create_connection((host, int(port))) as garbage:
        half.sendall(
            f"POST /tasks/triage HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {gateway.key}\r\nContent-Length: 100\r\n"
            "\r\nhalf".encode()
        )
        garbage.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n")
        assert b"400" in garbage.recv(1000).split(b"\r\n")[0]
        with gateway.client() as client:
            assert client.post("/tasks/triage", json={"text": "hi"}).status_code == 200
