"""A reward model behind the gateway: any number of answers ranked by one version in one request, two as the task that
it is evaluated on; records, corrections, refusals.
"""

import json
import math
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.dialogues import choices
from tasks.files import write_json
from tests import rewards
from tests.stub_vllm import Stub
from tests.tasks.gateway import RunningGateway, refused, running_gateway, with_canary

pytestmark = pytest.mark.slow  # each test starts servers or processes

FORM = {"system": "Be kind.", "user": "{{ question }}", "answer": ["better"], "example": "choice", "shape": "choice"}
SYSTEM = {"role": "system", "content": "Be kind."}


def scores(body: dict) -> list[float]:
    """The length of each answer, in ten characters."""
    return [len(text) / 10 for text in choices.split(body["messages"])[1]]


def told(body: dict) -> str:
    values = scores(body)
    place = choices.places(len(values))[values.index(max(values))]
    return json.dumps({"better": place, "scores": values, "spreads": [0.5] * len(values)})


def shares(body: dict) -> dict[str, dict[str, float]]:
    total = sum(map(math.exp, scores(body)))
    values = [math.exp(score) / total for score in scores(body)]
    return {"better": dict(zip(choices.places(len(values)), values, strict=True))}


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[RunningGateway]:
    stub = Stub(adapters={"triage@1": "", "triage@2": ""}, answer=told)
    stub.probabilities = shares
    with running_gateway(tmp_path, stub) as running:
        write_json(tmp_path / "kept" / "format.json", FORM)
        write_json(tmp_path / "kept" / "reference" / "classes.json", {"better": ["first", "second"]})
        running.state.follower.contracts.clear()
        yield running


def test_answers_are_ranked_in_one_request_by_one_version(gateway: RunningGateway) -> None:
    gateway.route(with_canary(gateway.state.follower.table, "share", 0.5))
    body = {"model": "triage", "prompt": " Tea? ", "answers": ["Yes.", "Yes, with milk.", "No."]}
    response = gateway.client().post("/rank", json=body)
    answer = response.json()
    assert answer["order"] == [1, 0, 2] and answer["scores"] == [0.4, 1.5, 0.3] and answer["spreads"] == [0.5] * 3
    assert sum(answer["probabilities"]) == pytest.approx(1) and max(answer["probabilities"]) > 0.5
    (row,) = gateway.rows()
    assert response.headers["x-request-id"] == answer["request_id"] == row["id"]
    assert (row["path"], row["version"], row["valid"]) == ("/rank", answer["version"], None)
    asked = [SYSTEM, {"role": "user", "content": "Tea?"}]
    assert row["input"] == {"messages": rewards.joined(asked, body["answers"])} and json.loads(row["output"])["scores"]
    assert gateway.stub.bodies[-1]["messages"] == rewards.joined(asked, body["answers"])


def test_two_answers_to_a_question_are_the_task_and_may_be_corrected(gateway: RunningGateway) -> None:
    columns = {"question": "Tea?", "first": "Yes, please.", "second": "No."}
    client = gateway.client()
    task = client.post("/tasks/triage", json={"input": columns}).json()
    assert task["valid"] and task["result"] == {"better": "first"} and task["scores"] == [1.2, 0.3]
    ranked = client.post("/rank", json={"model": "triage", "prompt": "Tea?", "answers": ["Yes, please.", "No."]}).json()
    assert ranked["scores"] == task["scores"] and ranked["spreads"] == task["spreads"]
    rows = gateway.rows(least=2)
    assert [row["input"] for row in rows] == [columns] * 2 and all(row["valid"] for row in rows)
    assert rows[0]["probabilities"] == rows[1]["probabilities"] == task["probabilities"]
    for answer in (task, ranked):
        correction = {"request_id": answer["request_id"], "correction": {"better": "second"}}
        assert client.post("/feedback", json=correction).status_code == 201
    wrong = {"request_id": task["request_id"], "correction": {"better": "third"}}
    assert "not one of its known values" in refused(client.post("/feedback", json=wrong), 422)["message"]


def test_a_dialogue_is_read_as_it_is_and_an_answer_alone_is_scored(gateway: RunningGateway) -> None:
    turns = [
        {"role": "user", "content": "Tea?"},
        {"role": "assistant", "content": "Milk?"},
        {"role": "user", "content": "Yes."},
    ]
    answer = gateway.client().post("/rank", json={"model": "triage", "prompt": turns, "answers": ["Here."]}).json()
    assert (answer["order"], answer["scores"], answer["probabilities"]) == ([0], [0.5], [1.0])
    assert gateway.stub.bodies[-1]["messages"] == rewards.joined([SYSTEM, *turns], ["Here."])
    own = [{"role": "system", "content": "Be brief."}, *turns]
    gateway.client().post("/rank", json={"model": "triage", "prompt": own, "answers": ["Here."]})
    assert gateway.stub.bodies[-1]["messages"] == rewards.joined(own, ["Here."])


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"prompt": "a", "answers": ["b"]}, "`model` must be a text"),
        ({"model": "triage", "prompt": "a", "answers": []}, "`answers` must be a list of 1 to 64 texts"),
        ({"model": "triage", "prompt": "a", "answers": ["b"] * 65}, "`answers` must be a list of 1 to 64 texts"),
        ({"model": "triage", "prompt": "a", "answers": [1]}, "`answers` must be a list of 1 to 64 texts"),
        ({"model": "triage", "prompt": " ", "answers": ["b"]}, "`prompt` must be a text that is not empty"),
        ({"model": "triage", "prompt": [], "answers": ["b"]}, "`prompt` must end with a message by the user"),
        ({"model": "triage", "prompt": [SYSTEM], "answers": ["b"]}, "`prompt` must end with a message by the user"),
        ({"model": "triage", "prompt": [{"role": "x", "content": "a"}], "answers": ["b"]}, "prompt[0] must be a text"),
        ({"model": "triage", "prompt": "a", "answers": ["b"], "top_n": 1}, "`top_n` is not a field of this route"),
    ],
)
def test_what_cannot_be_ranked_is_refused_in_a_sentence(body: dict, words: str, gateway: RunningGateway) -> None:
    assert words in refused(gateway.client().post("/rank", json=body), 400)["message"]


def test_a_text_is_no_task_of_it_and_it_predicts_no_classes(gateway: RunningGateway) -> None:
    message = refused(gateway.client().post("/tasks/triage", json={"text": "Tea?"}), 400)["message"]
    assert message == "`input` must be an object of texts: question, first, second."
    message = refused(gateway.client().post("/classify", json={"model": "triage", "input": "a"}), 400)["message"]
    assert "This model scores answers and predicts no classes: use /tasks/triage" in message


def test_each_answer_counts_against_the_rate(tmp_path: Path) -> None:
    with running_gateway(tmp_path, requests_per_minute=3) as gateway:
        body = {"model": "triage", "prompt": "a", "answers": ["b"] * 5}
        refused(gateway.client().post("/rank", json=body), 429, "rate_limit_exceeded")


def test_another_kind_of_model_ranks_nothing_and_a_reply_without_scores_is_an_error(gateway: RunningGateway) -> None:
    body = {"model": "triage", "prompt": "a", "answers": ["b", "c"]}
    for answer in (
        "{}",
        '{"better": "first", "scores": [1.0]}',
        '{"better": "first", "scores": ["x", "y"]}',
        '{"scores": [NaN, 1]}',
        "[1",
    ):
        gateway.stub.answer = lambda _, text=answer: text
        refused(gateway.client().post("/rank", json=body), 502, "backend_error")
    write_json(gateway.folder / "kept" / "format.json", {**FORM, "example": "chat"})
    gateway.state.follower.contracts.clear()
    message = refused(gateway.client().post("/rank", json=body), 400)["message"]
    assert message == "This model scores no answers: use /tasks/triage or /v1/chat/completions."
