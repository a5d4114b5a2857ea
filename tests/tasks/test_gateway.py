"""The gateway as its users see it: OpenAI's own client unchanged, tasks with their template, keys without a restart."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import openai
import pytest

from tasks.serve.gateway import keys
from tasks.stages.prepare.shapes.table import Params as Prepare
from tasks.stages.prepare.shapes.table import format_row
from tests.stub_vllm import ANSWER, Stub
from tests.tasks.gateway import SYSTEM, USER, RunningGateway, chat, events, running_gateway

pytestmark = pytest.mark.slow  # each test starts servers or processes

RESULT = {
    "category": "technical",
    "intent": "device_offline",
    "priority": "normal",
    "reply": "Please restart the hub and try again.",
}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """One gateway for the tests that change nothing about it."""
    with running_gateway(tmp_path_factory.mktemp("gateway")) as running:
        yield running


@pytest.fixture
def client(gateway: RunningGateway) -> openai.OpenAI:
    """OpenAI's client, as it comes."""
    return openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=gateway.key, max_retries=0)


def test_openai_chats(gateway: RunningGateway, client: openai.OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(
        model="triage", messages=[{"role": "user", "content": "hello"}]
    )
    answer = raw.parse()
    assert answer.choices[0].message.content == ANSWER
    assert answer.model == "triage@1" == raw.headers["x-anneal-version"]
    assert gateway.stub.bodies[-1]["max_tokens"] == gateway.state.settings.max_tokens
    assert client.completions.create(model="triage", prompt="hello").choices[0].text == ANSWER


def test_openai_streams(client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(
        model="triage", messages=[{"role": "user", "content": "hello"}], stream=True
    )
    assert "".join(piece.choices[0].delta.content for piece in stream) == ANSWER


def test_a_stream_comes_through_byte_for_byte(gateway: RunningGateway) -> None:
    """What the client gets is what vLLM says to the same question, but for the usage that only the gateway asked
    for.
    """
    fixed = {"id": "1", "created": 1}
    for asked in ({}, {"stream_options": {"include_usage": True}}):
        direct = httpx.post(
            f"{gateway.state.follower.table.tasks['triage'].targets['champion'].url}/chat/completions",
            json=chat(stream=True, **asked) | {"model": "triage@1"},
        )
        through = gateway.client().post("/v1/chat/completions", json=chat(stream=True, **asked))
        assert [event | fixed for event in events(through.text)] == [event | fixed for event in events(direct.text)]
        assert through.text.endswith("data: [DONE]\n\n") and through.text.count("\n\n") == direct.text.count("\n\n")


def test_a_stream_comes_as_it_comes(tmp_path: Path) -> None:
    """The first piece is there long before the last one is made."""
    stub = Stub(adapters={"triage@1": ""}, token_delay=0.05)
    with running_gateway(tmp_path, stub) as gateway, gateway.client() as client:
        with client.stream("POST", "/v1/chat/completions", json=chat(stream=True)) as answer:
            pieces = answer.iter_raw()
            first = next(pieces)
            under_way = stub.running
            rest = b"".join(pieces)
        assert first.startswith(b"data: {") and under_way == 1
        assert rest.endswith(b"data: [DONE]\n\n")
        row = gateway.rows()[0]
        assert (
            row["completion_tokens"] == len(ANSWER.split())
            and row["output"] == ANSWER
            and row["valid"]
            and row["first_token"] < row["latency"]
        )


def test_tools_and_unknown_fields_pass(gateway: RunningGateway, client: openai.OpenAI) -> None:
    tools = [{"type": "function", "function": {"name": "look_up", "parameters": {"type": "object", "properties": {}}}}]
    answer = client.chat.completions.create(
        model="triage",
        messages=[{"role": "user", "content": "hi"}],
        tools=tools,
        tool_choice="auto",
        extra_body={"min_p": 0.1, "made_up": [1, {"a": None}]},
    )
    assert answer.choices[0].message.tool_calls[0].function.name == "look_up"
    body = gateway.stub.bodies[-1]
    assert (body["tools"], body["tool_choice"], body["min_p"], body["made_up"]) == (
        tools,
        "auto",
        0.1,
        [1, {"a": None}],
    )


def test_openai_lists_models(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["triage", "triage@challenger", "triage@champion"]
    assert client.models.retrieve("triage@champion").owned_by == "anneal"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("nobody")


def test_openai_understands_refusals(gateway: RunningGateway, client: openai.OpenAI) -> None:
    messages = [{"role": "user", "content": "hi"}]
    with pytest.raises(openai.NotFoundError) as refused:
        client.chat.completions.create(model="nobody", messages=messages)
    assert refused.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(model="triage", messages=messages, n=16384)
    assert refused.value.param == "n"
    with pytest.raises(openai.AuthenticationError) as refused:
        openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="anneal-00000000-wrong", max_retries=0).models.list()
    assert refused.value.code == "invalid_api_key"


def test_a_request_may_name_a_version_or_an_alias(gateway: RunningGateway, client: openai.OpenAI) -> None:
    for name, version in (
        ("triage@2", "triage@2"),
        ("triage@challenger", "triage@2"),
        ("triage@champion", "triage@1"),
        ("triage", "triage@1"),
    ):
        assert client.chat.completions.create(model=name, messages=[{"role": "user", "content": "hi"}]).model == version


def test_a_task_is_asked_in_the_words_of_training(gateway: RunningGateway) -> None:
    """Byte for byte what `prepare` makes of the same row, whatever the client's line ends and blanks."""
    row = {"id": "1", "subject": "Hub  off", "body": "It is réd.\nHelp"}
    params = Prepare(seed=1, system=SYSTEM, user=USER, answer=["body"], validation_share=0.1, test_share=0.1)
    sent = {"subject": " Hub  off \r\n", "body": "It is re\u0301d. \r\nHelp\x07"}
    answer = gateway.client().post("/tasks/triage", json={"input": sent})
    assert gateway.stub.bodies[-1]["messages"] == format_row(row, params)["messages"]
    assert gateway.stub.bodies[-1]["temperature"] == 0
    assert answer.json() == {
        "task": "triage",
        "version": "1",
        "request_id": answer.headers["x-request-id"],
        "valid": True,
        "result": RESULT,
    }


def test_plain_text_fills_the_columns(gateway: RunningGateway) -> None:
    sent = gateway.client()
    for text, subject, body in (
        ("Subject: Hub off\n\nIt is red.\nHelp", "Hub off", "It is red.\nHelp"),
        ("Hub off\nIt is red.", "Hub off", "It is red."),
        ("Hub off", "Hub off", "Hub off"),
        ("SUBJECT:Hub off\n", "Hub off", "Hub off"),
    ):
        for more in (
            {"content": text.encode(), "headers": {"content-type": "text/plain; charset=utf-8"}},
            {"json": {"text": text}},
        ):
            assert sent.post("/tasks/triage", **more).status_code == 200
            assert gateway.stub.bodies[-1]["messages"][1]["content"] == f"Subject: {subject}\n\n{body}"


WRONG = {
    "text": "no JSON",
    "part": '{"category": "billing"}',
    "class": ANSWER.replace("technical", "cooking"),
    "type": ANSWER.replace('"normal"', "1"),
    "deep": "[" * 100_000,
}


def test_an_answer_that_is_none_is_said_to_be(tmp_path: Path) -> None:
    stub = Stub(adapters={"triage@1": ""}, answer=lambda body: WRONG[body["messages"][1]["content"].split()[-1]])
    with running_gateway(tmp_path, stub) as gateway, gateway.client() as client:
        for name, text in WRONG.items():
            answer = client.post("/tasks/triage", json={"text": name})
            assert answer.status_code == 200
            assert (answer.json()["valid"], answer.json()["result"], answer.json()["text"]) == (False, None, text)
        assert [row["valid"] for row in gateway.rows(least=len(WRONG))] == [False] * len(WRONG)
        assert gateway.metric("anneal_answers_total", task="triage", version="1", valid="false") == len(WRONG)


def test_a_key_is_new_or_revoked_without_a_restart(gateway: RunningGateway) -> None:
    path = gateway.folder / "keys.json"
    key = keys.create("late", path=path)
    headers = {"Authorization": f"Bearer {key}"}
    assert httpx.get(f"{gateway.url}/v1/models", headers=headers).status_code == 200
    assert httpx.get(f"{gateway.url}/v1/models", headers={"Authorization": f"Bearer {key[:-1]}"}).status_code == 401
    keys.revoke(key.split("-")[1], path=path)
    assert httpx.get(f"{gateway.url}/v1/models", headers=headers).status_code == 401
    assert key not in path.read_text() and key.split("-", 2)[2] not in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
