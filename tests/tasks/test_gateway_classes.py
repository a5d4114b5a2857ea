"""A version that tells classes behind the gateway: probabilities for the client and in the records, /classify with a
request for each text.
"""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tasks.files import write_json
from tests.stub_vllm import Stub
from tests.tasks.gateway import RunningGateway, chat, refused, running_gateway, with_canary

pytestmark = pytest.mark.slow  # each test starts servers or processes

TOLD = {"category": {"billing": 0.25, "technical": 0.75}, "priority": {"high": 0.9, "normal": 0.1}}
WRITTEN = {"category": "technical", "priority": "high"}
FORM = {"system": None, "user": "{{ text }}", "answer": list(TOLD), "example": "labelled", "shape": "labelled"}


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[RunningGateway]:
    stub = Stub(adapters={"triage@1": "", "triage@2": ""}, answer=lambda body: json.dumps(WRITTEN))
    stub.probabilities = lambda body: TOLD
    with running_gateway(tmp_path, stub) as running:
        write_json(tmp_path / "kept" / "format.json", FORM)
        running.state.follower.contracts.clear()
        yield running


def test_a_task_is_answered_with_its_labels_and_how_probable_each_class_is(gateway: RunningGateway) -> None:
    answer = gateway.client().post("/tasks/triage", json={"text": "the lamp is off"}).json()
    assert answer["valid"] and answer["result"] == WRITTEN and answer["probabilities"] == TOLD
    row = gateway.rows()[0]
    assert row["probabilities"] == TOLD and row["input"] == {"text": "the lamp is off"} and row["valid"]


def test_a_chat_is_passed_on_with_its_probabilities_and_they_are_kept(gateway: RunningGateway) -> None:
    answer = gateway.client().post("/v1/chat/completions", json=chat("the lamp is off")).json()
    assert answer["choices"][0]["probabilities"] == TOLD and gateway.rows()[0]["probabilities"] == TOLD


def test_classify_is_a_request_for_each_text(gateway: RunningGateway) -> None:
    texts = ["one", "two", "three"]
    response = gateway.client().post("/classify", json={"model": "triage", "input": texts})
    answer = response.json()
    assert [entry["index"] for entry in answer["data"]] == [0, 1, 2] and answer["object"] == "list"
    entry = answer["data"][0]
    assert (entry["label"], entry["probs"], entry["num_classes"]) == ("technical", [0.25, 0.75], 2)
    assert entry["labels"]["priority"] == {"label": "high", "probabilities": TOLD["priority"]}
    rows = {row["id"]: row for row in gateway.rows(least=3)}
    assert {entry["request_id"] for entry in answer["data"]} == set(rows)
    first = rows[entry["request_id"]]
    assert first["path"] == "/classify" and first["valid"] and first["version"] == entry["version"] == "1"
    assert first["input"] == {"messages": [{"role": "user", "content": "one"}]}
    assert json.loads(first["output"]) == WRITTEN and first["probabilities"] == TOLD
    alone = gateway.client().post("/classify", json={"model": "triage", "input": "one"})
    assert alone.headers["x-request-id"] == alone.json()["data"][0]["request_id"]
    assert alone.headers["x-anneal-version"] == "triage@1"


def test_the_coin_of_the_canary_is_thrown_for_each_text(gateway: RunningGateway) -> None:
    gateway.route(with_canary(gateway.state.follower.table, "share", 0.5))
    answer = gateway.client().post("/classify", json={"model": "triage", "input": ["text"] * 64}).json()
    assert {entry["version"] for entry in answer["data"]} == {"1", "2"}
    assert {row["role"] for row in gateway.rows(least=64)} == {"champion", "canary"}


def test_long_lists_at_once_are_answered_whole(gateway: RunningGateway) -> None:
    body = {"model": "triage", "input": ["text"] * 64}
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: gateway.client().post("/classify", json=body), range(4)))
    assert [answer.status_code for answer in answers] == [200] * 4 and len(gateway.rows(least=256)) == 256


def test_each_text_counts_against_the_keys_rate(tmp_path: Path) -> None:
    with running_gateway(tmp_path, requests_per_minute=3) as gateway:
        body = {"model": "triage", "input": ["a", "b", "c", "d"]}
        refused(gateway.client().post("/classify", json=body), 429, "rate_limit_exceeded")


@pytest.mark.parametrize(
    ("words", "changes"),
    [
        ("`model` must be a text", {"model": 3}),
        ("`input` must be a text, or a list", {"input": []}),
        ("`input` must be a text, or a list", {"input": ["a"] * 257}),
        ("not empty", {"input": ["a", " "]}),
        ("not empty", {"input": [1]}),
        ("`colour` is not a field", {"colour": "red"}),
    ],
)
def test_what_does_not_fit_is_refused(gateway: RunningGateway, words: str, changes: dict) -> None:
    body = {"model": "triage", "input": "a", **changes}
    assert words in refused(gateway.client().post("/classify", json=body), 400)["message"]


def test_no_key_is_no_answer_and_a_model_that_writes_tells_no_classes(gateway: RunningGateway, tmp_path: Path) -> None:
    body = {"model": "triage", "input": "a"}
    bare = gateway.client()
    del bare.headers["Authorization"]
    refused(bare.post("/classify", json=body), 401)
    write_json(tmp_path / "kept" / "format.json", {**FORM, "example": "chat"})
    gateway.state.follower.contracts.clear()
    message = refused(gateway.client().post("/classify", json=body), 400)["message"]
    assert "writes and predicts no classes: use /tasks/triage or /v1/chat/completions" in message


GARBLED = ["x", {"category": 1}, {"category": {"billing": "0.5"}}, {"category": {"billing": 7}}]


@pytest.mark.parametrize("probabilities", GARBLED)
def test_what_are_no_probabilities_is_no_answer(gateway: RunningGateway, probabilities: object) -> None:
    gateway.stub.probabilities = lambda body: probabilities
    refused(gateway.client().post("/tasks/triage", json={"text": "a"}), 502)
    assert gateway.rows()[0]["error"] == "backend_error"


def test_what_marks_a_text_says_how_probable_its_entities_are_and_has_routes_of_its_own(
    gateway: RunningGateway, tmp_path: Path
) -> None:
    marked = [{"label": "LOC", "text": "Rome", "start": 3, "end": 7}]
    probabilities = {"3-7": {"LOC": 0.8, "PER": 0.1, "O": 0.1}}
    form = {"answer": {"entities": [*marked[0]]}, "example": "tagged", "shape": "tagged"}
    write_json(tmp_path / "kept" / "format.json", {**FORM, **form})
    write_json(tmp_path / "kept" / "reference" / "classes.json", {})
    gateway.state.follower.contracts.clear()
    gateway.stub.answer, gateway.stub.probabilities = lambda body: json.dumps(marked), lambda body: probabilities
    answer = gateway.client().post("/tasks/triage", json={"text": "in Rome"}).json()
    assert answer["valid"] and answer["result"] == {"entities": marked} and answer["probabilities"] == probabilities
    assert gateway.rows()[0]["probabilities"] == probabilities
    gateway.stub.answer, gateway.stub.probabilities = lambda body: "[]", lambda body: {}
    answer = gateway.client().post("/tasks/triage", json={"text": "nowhere"}).json()
    assert answer["valid"] and answer["result"] == {"entities": []} and "probabilities" not in answer
    opinion = {"request_id": answer["request_id"], "correction": {"entities": marked}}
    gateway.client().post("/feedback", json=opinion).raise_for_status()
    assert json.loads(gateway.rows("feedback")[0]["correction"]["entities"]) == marked
    wrong = {**opinion, "correction": {"entities": [{"label": "LOC", "start": 3, "end": 7}]}}
    assert (
        "each of label, text, start and end" in refused(gateway.client().post("/feedback", json=wrong), 422)["message"]
    )
    message = refused(gateway.client().post("/classify", json={"model": "triage", "input": "a"}), 400)["message"]
    assert "marks a text and predicts no classes: use /tasks/triage or /v1/chat/completions" in message
