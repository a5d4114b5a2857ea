"""A version with a labeller beside one without, behind the gateway: each answers whole and is judged as such."""

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from tasks.models import labeller
from tasks.serve import routes
from tasks.serve.cascade.middleware import Cascade
from tasks.serve.cascade.start import LABELLERS
from tests.stub_vllm import ANSWER, Stub
from tests.tasks.gateway import COLUMNS, RunningGateway, chat, events, running_gateway, with_canary

pytestmark = pytest.mark.slow  # it listens on sockets

GIVEN, REST = ANSWER.partition(' "Please')[0], ' "Please' + ANSWER.partition(' "Please')[2]
INPUT = {"input": {"subject": "The hub", "body": "It is off."}}


@pytest.fixture
def both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[RunningGateway, Stub]]:
    """A gateway with half of the requests for triage@2, which writes the labels itself; those of triage@1 are told."""
    (tmp_path / "one" / labeller.FOLDER).mkdir(parents=True)
    monkeypatch.setenv(LABELLERS, json.dumps({"triage@1": str(tmp_path / "one")}))
    monkeypatch.setattr(labeller, "load", lambda folder: SimpleNamespace(answer=COLUMNS))
    monkeypatch.setattr(labeller, "predict_beginning", lambda *_: GIVEN)
    stub = Stub(adapters={"triage@1": "", "triage@2": ""})
    stub.answer = lambda body: REST if body.get("continue_final_message") else ANSWER
    with running_gateway(tmp_path / "gateway", Cascade(stub), timeout=60) as gateway:
        gateway.route(with_canary(gateway.state.follower.table, "share", 0.5))
        yield gateway, stub


def test_both_are_asked_and_answer_whole_and_the_records_say_so(both: tuple[RunningGateway, Stub]) -> None:
    gateway, stub = both
    with gateway.client() as client:
        answers = [client.post("/tasks/triage", json=INPUT).json() for _ in range(24)]
    assert {answer["version"] for answer in answers} == {"1", "2"}
    assert all(answer["valid"] and answer["result"] == json.loads(ANSWER) for answer in answers)
    assert {body["model"]: bool(body.get("continue_final_message")) for body in stub.bodies} == {
        "triage@1": True,
        "triage@2": False,
    }
    rows = gateway.rows(least=24)
    assert {(row["output"], row["valid"]) for row in rows} == {(ANSWER, True)}
    assert {row["version"] for row in rows} == {"1", "2"}


def test_a_stream_is_the_whole_answer_and_is_corrected_like_any(both: tuple[RunningGateway, Stub]) -> None:
    gateway, _ = both
    gateway.route(routes.Table(9, with_canary(gateway.state.follower.table, "off").tasks))
    with gateway.client() as client:
        streamed = client.post("/v1/chat/completions", json=chat(stream=True))
        pieces = [event["choices"][0]["delta"].get("content") or "" for event in events(streamed.text)]
        assert pieces[0].startswith(GIVEN) and "".join(pieces) == ANSWER
        correction = {**json.loads(ANSWER), "category": "billing"}
        word = {"request_id": streamed.headers["x-request-id"], "correction": correction}
        assert client.post("/feedback", json=word).is_success
    assert gateway.rows("requests")[0]["output"] == ANSWER and len(gateway.rows("feedback")) == 1


def test_trouble_of_the_labeller_is_the_servers_and_no_answer(
    both: tuple[RunningGateway, Stub], monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway, stub = both

    def fail(*_: object) -> str:
        raise RuntimeError("planted")

    monkeypatch.setattr(labeller, "predict_beginning", fail)
    with gateway.client() as client:
        refused = client.post("/v1/chat/completions", json={**chat(), "model": "triage@1"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (502, "backend_error")
    assert "planted" not in refused.text and stub.bodies == []
