"""Whatever a model answers, a client gets 200 with JSON that UTF-8 can write, and its connection goes on."""

import http.client
import json
from collections.abc import Iterator

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.dialogues.messages import TASKS
from tasks.serve.gateway.record import judge, of_answer
from tasks.serve.gateway.reply import Ending, ReplyReader
from tasks.serve.gateway.request import ModelRequest
from tests.examples import examples
from tests.stub_vllm import ANSWER, Stub
from tests.tasks.gateway import RunningGateway, chat, events, running_gateway, wait_for

pytestmark = pytest.mark.slow  # each test starts servers or processes

RIGHT = json.loads(ANSWER)
HALF = "\ud83d"
ASKED = {"text": "Hub off"}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """One gateway whose model answers what a test says."""
    with running_gateway(
        tmp_path_factory.mktemp("gateway"), Stub(adapters={"triage@1": "", "triage@2": ""})
    ) as running:
        yield running


def in_utf8(answer: httpx.Response) -> dict:
    """The JSON of an answer, which any reader can take: no half of a character in it, escaped or not."""
    value = json.loads(answer.content.decode("utf-8"))
    json.dumps(value, ensure_ascii=False).encode("utf-8")
    return value


SPOILED = {
    "half a character, escaped": ANSWER.replace("Please", "\\ud83d"),
    "half a character in a label": ANSWER.replace("technical", "technical\\udc00"),
    "half a character as it is": ANSWER.replace("Please", HALF),
    "half a character and no JSON": f"On its way {HALF}",
    "a repeated label": ANSWER.replace('{"category": "technical"', '{"category": "billing", "category": "technical"'),
    "a repeated label, the same twice": ANSWER.replace('{"category"', '{"category": "technical", "category"'),
    "a repeated reply": ANSWER[:-1] + ', "reply": "x"}',
    "a number of 5,000 digits": ANSWER.replace('"normal"', "9" * 5000),
    "brackets": "[" * 100_000,
    "nothing": "",
    "NUL": "\0",
}


@pytest.mark.parametrize("name", SPOILED)
def test_an_answer_that_is_not_one_gets_200_and_the_connection_goes_on(gateway: RunningGateway, name: str) -> None:
    with gateway.client(limits=httpx.Limits(max_connections=1)) as client:
        for given_answer in (SPOILED[name], ANSWER):
            gateway.stub.answer = lambda body, text=given_answer: text
            answer = client.post("/tasks/triage", json=ASKED)
            assert answer.status_code == 200
            value = in_utf8(answer)
            assert (value["valid"], value["result"]) == ((True, RIGHT) if given_answer is ANSWER else (False, None))
        gateway.stub.answer = lambda body: SPOILED[name]
        assert in_utf8(client.post("/tasks/triage", json=ASKED))["text"] == SPOILED[name].replace(HALF, "\ufffd")
        assert in_utf8(client.post("/v1/chat/completions", json=chat()))["choices"][0]["message"]["content"] == SPOILED[
            name
        ].replace(HALF, "\ufffd")


def test_the_records_keep_what_json_and_databases_can_write(gateway: RunningGateway) -> None:
    gateway.stub.answer = lambda body: f"On its way {HALF}\0!"
    with gateway.client() as client:
        request_id = client.post("/tasks/triage", json=ASKED).json()["request_id"]
    [row] = wait_for(lambda: [row for row in gateway.rows() if row["id"] == request_id], "the record")
    assert (row["status"], row["valid"], row["output"]) == (200, False, "On its way \ufffd!")


def test_a_stream_is_readable_too(gateway: RunningGateway) -> None:
    gateway.stub.answer = lambda body: f"On its {HALF} way"
    with gateway.client() as client:
        answer = client.post("/v1/chat/completions", json=chat(stream=True))
        pieces = [event["choices"][0]["delta"]["content"] for event in events(answer.text)]
        assert "".join(pieces) == "On its \ufffd way" and answer.text.endswith("data: [DONE]\n\n")


def test_a_character_that_comes_in_two_pieces_is_one(gateway: RunningGateway) -> None:
    """The pieces of a stream go on as they come, unless one cannot be read by itself; the record has the character."""
    choice, contract = gateway.state.follower.choose("triage")
    reader = ReplyReader(contract.special)
    for piece in (ANSWER[:-2], "\ud83d", "\ude00", '"}'):
        reader.read(json.dumps({"choices": [{"delta": {"content": piece}}]}).encode())
    asked, ending = ModelRequest(choice, contract, TASKS, "k", {}, {}), Ending(200, None, reader.reply())
    judgement = judge(asked, ending)
    assert judgement.valid and judgement.result["reply"].endswith("again.\U0001f600")
    assert "\U0001f600" in ending.reply.text and of_answer(asked, ending, judgement, 0.1).output == ending.reply.text


ANYTHING = st.text(st.characters(), max_size=60)  # halves of characters and NUL too
WRITTEN = st.one_of(
    ANYTHING,
    ANYTHING.map(lambda text: json.dumps({**RIGHT, "reply": text})),
    ANYTHING.map(lambda text: f'{{"category": "{text}"'),
)


@settings(examples(60), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(WRITTEN)
def test_whatever_a_model_writes_the_client_can_read(gateway: RunningGateway, text: str) -> None:
    gateway.stub.answer = lambda body: text
    with gateway.client(limits=httpx.Limits(max_connections=1)) as client:
        task, whole = client.post("/tasks/triage", json=ASKED), client.post("/v1/chat/completions", json=chat())
        assert (task.status_code, whole.status_code) == (200, 200)
        value = in_utf8(task)
        assert value["valid"] == (value["result"] is not None) and in_utf8(whole)["model"] == "triage@1"
        assert client.post("/tasks/triage", content="x", headers={"content-type": "text/plain"}).status_code == 200


@pytest.mark.parametrize("piece", [HALF, "x", "\0", "{", '"', "\\ud83d", "\u00e9", "\ufeff"])
def test_a_megabyte_is_an_answer_like_any_other(gateway: RunningGateway, piece: str) -> None:
    gateway.stub.answer = lambda body: piece * (1_000_000 // len(piece))
    with gateway.client() as client:
        value = in_utf8(client.post("/tasks/triage", json=ASKED))
        assert value["valid"] is False and len(value["text"]) == 1_000_000 // len(piece) * len(piece)
        assert in_utf8(client.post("/v1/chat/completions", json=chat()))["model"] == "triage@1"


def test_the_same_connection_takes_the_next_request(gateway: RunningGateway) -> None:
    """Of a client that keeps one, whatever was answered on it before."""
    connection = http.client.HTTPConnection(gateway.url.removeprefix("http://"), timeout=10)
    headers = {"authorization": f"Bearer {gateway.key}", "content-type": "application/json"}
    connection.connect()
    socket = connection.sock
    for text in (*SPOILED.values(), ANSWER):
        gateway.stub.answer = lambda body, text=text: text
        for path, body in (("/tasks/triage", ASKED), ("/v1/chat/completions", chat())):
            connection.request("POST", path, json.dumps(body), headers)
            answer = connection.getresponse()
            json.loads(answer.read())
            assert answer.status == 200 and connection.sock is socket
    connection.close()
