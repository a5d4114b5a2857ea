"""A version that tells numbers behind the gateway: numbers for the client, corrections in numbers, nothing else."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.files import write_json
from tasks.formats import contract
from tests.stub_vllm import Stub
from tests.tasks.gateway import RunningGateway, refused, running_gateway

pytestmark = pytest.mark.slow  # each test starts servers or processes

TOLD = {"stars": 3.47183, "weight": 12}
FORM = {"system": None, "user": "{{ text }}", "answer": dict.fromkeys(TOLD, "number"), "example": "scored"}


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[RunningGateway]:
    stub = Stub(adapters={"triage@1": "", "triage@2": ""}, answer=lambda body: json.dumps(TOLD))
    with running_gateway(tmp_path, stub) as running:
        write_json(tmp_path / "kept" / "format.json", FORM)
        write_json(tmp_path / "kept" / "reference" / "classes.json", {})
        running.state.follower.contracts.clear()
        yield running


def test_numbers_are_told_as_numbers_and_corrected_by_numbers_or_texts(gateway: RunningGateway) -> None:
    client = gateway.client()
    for correction in ({"stars": 4.5, "weight": 12}, {"stars": "4.50", "weight": "12"}):
        answer = client.post("/tasks/triage", json={"text": "the lamp is off"}).json()
        assert answer["valid"] and answer["result"] == TOLD and "probabilities" not in answer
        given = client.post("/feedback", json={"request_id": answer["request_id"], "correction": correction})
        assert given.status_code == 201
    assert [json.loads(row["output"]) for row in gateway.rows(least=2)] == [TOLD] * 2
    kept = [row["correction"] for row in gateway.rows("feedback", least=2)]
    assert kept == [{"stars": "4.5", "weight": "12"}, {"stars": "4.50", "weight": "12"}]


@pytest.mark.parametrize(
    ("correction", "words"),
    [
        ({"stars": "four", "weight": 1}, "`stars` is 'four', which is not a number"),
        ({"stars": "4 stars", "weight": 1}, "`stars` is '4 stars', which has a unit"),
        ({"stars": 4}, "it lacks `weight`"),
        ({"stars": 4, "weight": 1, "colour": 2}, "`colour` is not a column of the answer"),
    ],
)
def test_a_correction_that_is_no_number_is_refused(correction: dict, words: str, gateway: RunningGateway) -> None:
    asked = gateway.client().post("/tasks/triage", json={"text": "the lamp is off"}).json()["request_id"]
    body = {"request_id": asked, "correction": correction}
    assert words in refused(gateway.client().post("/feedback", json=body), 422)["message"]


def test_it_tells_no_classes(gateway: RunningGateway) -> None:
    message = refused(gateway.client().post("/classify", json={"model": "triage", "input": "a"}), 400)["message"]
    assert "returns numbers and predicts no classes: use /tasks/triage" in message


def test_a_correction_agrees_in_the_digits_that_it_has(gateway: RunningGateway, tmp_path: Path) -> None:
    own = contract.load(tmp_path / "kept")
    output = json.dumps(TOLD)
    assert own.agrees(output, {"stars": "3.5", "weight": "12.0"}, []) is True
    assert own.agrees(output, {"stars": "3", "weight": "12"}, []) is True
    assert own.agrees(output, {"stars": "3.4", "weight": "12"}, []) is False
    assert own.agrees("?", {"stars": "3"}, []) is False and own.agrees(output, {"colour": "red"}, []) is None
