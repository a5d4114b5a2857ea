"""A version that finds answers in a text behind the gateway: where they stand in what the client sent, how probable
they are, in the answer and in the records, and corrections of them.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.files import write_json
from tasks.formats.spans import Span, as_probabilities, to_json
from tasks.serve.gateway.spans import as_sent
from tasks.texts.clean import clean
from tests.examples import examples
from tests.stub_vllm import Stub
from tests.tasks.gateway import RunningGateway, refused, running_gateway

CONTEXT = "Anna Lee was born in Bern. She left in 1987."
FORM = {
    "system": None,
    "user": "{{ question }}\n{{ context }}",
    "answer": {"answer": ["answer", "start", "end"]},
    "context": "context",
    "example": "spans",
    "shape": "spans",
}


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[RunningGateway]:
    """A server that answers with the word `Bern`, where it stands in what it reads."""

    def answer(body: dict) -> str:
        stub.last = body
        context = body["messages"][-1]["content"].partition("\n")[2]
        start = context.find("Bern")
        return to_json(context, Span(start, start + 4) if start >= 0 else None)

    stub = Stub(adapters={"triage@1": ""}, answer=answer)
    stub.probabilities = lambda body: as_probabilities(0.75)
    with running_gateway(tmp_path, stub) as running:
        write_json(tmp_path / "kept" / "format.json", FORM)
        (tmp_path / "kept" / "reference" / "classes.json").unlink()
        running.state.follower.contracts.clear()
        yield running


def ask(gateway: RunningGateway, question: str, context: str) -> dict:
    body = {"input": {"question": question, "context": context}}
    answer: dict = gateway.client().post("/tasks/triage", json=body).raise_for_status().json()
    return answer


@pytest.mark.slow
def test_a_question_is_answered_with_the_place_and_the_probability_and_both_are_kept(gateway: RunningGateway) -> None:
    answer = ask(gateway, "Where?", CONTEXT)
    assert answer["valid"] and answer["result"] == {"answer": "Bern", "start": 21, "end": 25, "probability": 0.75}
    assert "probabilities" not in answer
    (row,) = gateway.rows()
    assert row["input"] == {"question": "Where?", "context": CONTEXT} and row["valid"]
    assert json.loads(row["output"]) == {"answer": "Bern", "start": 21, "end": 25}
    assert row["probabilities"] == {"answer": {"given": 0.75, "other": 0.25}}
    assert ask(gateway, "Where?", "Anna is away.")["result"] == {
        "answer": "", "start": None, "end": None, "probability": 0.75,
    }  # fmt: skip
    text = gateway.client().post("/tasks/triage", content=f"Where?\n{CONTEXT}".encode()).json()
    assert text["result"]["start"] == 21


@pytest.mark.slow
def test_places_are_those_of_what_was_sent_and_a_question_stands_on_one_line(gateway: RunningGateway) -> None:
    context = "\ufeff  Ze\u0301  \r\nleft\u200b Bern \n"
    result = ask(gateway, "Where\n to?", context)["result"]
    assert context[result["start"] : result["end"]] == result["answer"] == "Bern"
    assert gateway.stub.last["messages"][-1]["content"].startswith("Where to?\nZ\u00e9\nleft Bern")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"input": {"question": "Where?", "context": " \u200b"}}, "`context` is empty"),
        ({"input": {"question": "", "context": "Bern"}}, "`question` is empty"),
        ({"input": {"question": "Where?"}}, "`input` lacks `context`"),
        ({"text": "Where is Bern?"}, "`context` is empty"),
    ],
)
def test_what_has_no_question_or_no_text_is_refused(body: dict, words: str, gateway: RunningGateway) -> None:
    assert words in refused(gateway.client().post("/tasks/triage", json=body), 400)["message"]


@pytest.mark.slow
def test_a_correction_is_the_words_and_maybe_their_place_and_there_are_no_classes(gateway: RunningGateway) -> None:
    client, request = gateway.client(), ask(gateway, "Where?", CONTEXT)["request_id"]

    def say(**correction: str) -> object:
        return client.post("/feedback", json={"request_id": request, "correction": correction})

    assert [say(answer="Bern").status_code, say(answer="").status_code, say(answer="in", start="18").status_code] == [
        201, 201, 201,
    ]  # fmt: skip
    for wrong in ({"start": "3"}, {"answer": "Bern", "start": "here"}, {"answer": "Bern", "end": "3"}):
        refused(say(**wrong), 422, "invalid_correction")
    assert [row["correction"] for row in gateway.rows("feedback", 3)][-1] == {"answer": "in", "start": "18"}
    message = refused(client.post("/classify", json={"model": "triage", "input": "Where?"}), 400)["message"]
    assert "finds answers in a text and predicts no classes: use /tasks/triage" in message


@examples(200)
@given(st.text("ab \u200b\u0301\n\t\r\ufeff\u00e9\U0001f469\u200d\u1100\u1161", max_size=14), st.data())
def test_a_place_in_the_cleaned_text_is_one_in_the_text_as_it_was_sent(raw: str, data: st.DataObject) -> None:
    cleaned = clean(raw)
    words = [place for place, character in enumerate(cleaned) if character in "ab"]
    if not words:
        return
    start = data.draw(st.sampled_from(words))
    end = data.draw(st.sampled_from([place for place in words if place >= start])) + 1
    span = as_sent(raw, Span(start, end))
    assert clean(f"x{raw[slice(*span)]}x").startswith(f"x{cleaned[start:end]}")
