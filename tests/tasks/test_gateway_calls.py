"""An answer that calls tools is kept as its calls, judged where the version was trained on calls, and corrected."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.formats import contract, tools
from tasks.serve import routes
from tasks.serve.gateway.calls import Calls, as_text
from tasks.texts.redaction.answers import redact_answer, redact_text
from tests.examples import examples
from tests.stub_vllm import ANSWER, Stub
from tests.tasks.gateway import RunningGateway, running_gateway, target, wait_for, write_folder

CALL = {"name": "pay", "arguments": {"to": "bo@example.org", "cents": 250, "card": 4111111111111111}}
KEPT = '[{"arguments": {"card": "<CARD>", "cents": 250, "to": "<EMAIL>"}, "name": "pay"}]'
TOOLS = [{"type": "function", "function": {"name": "pay", "parameters": {"type": "object"}}}]
ASKED = [{"role": "user", "content": "Pay bo 2.50"}]
FORM = {"system": None, "user": "{{ question }}", "answer": "{{ answer }}", "tools": True}


def as_is(text: str) -> str:
    return text


def put_together(*pieces: list[dict]) -> str:
    calls = Calls()
    for entries in pieces:
        calls.read(entries)
    return as_text(calls.written(as_is))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-99, 99) | st.text(st.characters(exclude_categories=["Cs"]), max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@settings(examples(25), deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from("abc"), VALUES, max_size=3), min_size=1, max_size=3), st.integers(1, 9))
def test_calls_are_the_same_whole_and_in_pieces(arguments: list[dict], size: int) -> None:
    calls = [{"name": f"f{place}", "arguments": given} for place, given in enumerate(arguments)]
    written = [json.dumps(call["arguments"]) for call in calls]
    whole = [{"function": {**call, "arguments": text}} for call, text in zip(calls, written, strict=True)]
    pieces = [[{"index": i, "function": {"name": call["name"], "arguments": ""}}] for i, call in enumerate(calls)]
    for i, text in enumerate(written):
        pieces += [[{"index": i, "function": {"arguments": text[at : at + size]}}] for at in range(0, len(text), size)]
    assert put_together(whole) == put_together(*pieces) == tools.canonical(calls)


@pytest.mark.parametrize("arguments", ['{"to": "b', "[1]", "[" * 5000, '{"a": ' + "[" * 150 + "]" * 150 + "}"])
def test_a_call_that_is_not_whole_is_kept_as_it_came_and_reads_as_none(tmp_path: Path, arguments: str) -> None:
    text = put_together([{"index": 0, "function": {"name": "pay", "arguments": arguments}}])
    assert text == f'<tool_call>\n{{"name": "pay", "arguments": {arguments}'
    assert contract.load(write_folder(tmp_path, **FORM)).check(text) is None


@pytest.mark.parametrize("entries", ["x", [3], [{"function": None}], [{"function": {"name": 3}}], [{"index": "0"}]])
def test_what_is_no_call_is_said(entries: Any) -> None:
    with pytest.raises(TypeError):
        Calls().read(entries)


def test_calls_are_redacted_value_by_value() -> None:
    assert redact_answer([CALL]) == KEPT and redact_answer(KEPT) == KEPT
    assert redact_text(json.dumps(CALL), True) == KEPT
    assert redact_text("<tool_call>" + json.dumps(CALL) + "</tool_call>", True) == KEPT
    assert redact_text("Mail bo@example.org.", True) == redact_text("Mail bo@example.org.", False) == "Mail <EMAIL>."
    assert redact_text("<tool_call>{", True) == "<tool_call>{"


def test_a_correction_of_calls_agrees_whatever_its_layout(tmp_path: Path) -> None:
    words = contract.load(write_folder(tmp_path, **FORM))
    assert words.agrees(tools.canonical([CALL]), {"answer": json.dumps([CALL], indent=1)}, [])
    assert words.agrees(KEPT, {"answer": redact_text(json.dumps([CALL], indent=1), True)}, [])
    assert words.agrees(KEPT, {"answer": "I cannot pay."}, []) is False
    assert words.agrees("It is paid.", {"answer": "It is paid. "}, [])


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """A gateway with `triage`, whose answers are JSON, and `pay`, which was trained on rows with tools."""
    folder = tmp_path_factory.mktemp("gateway")
    with running_gateway(folder, Stub(adapters={"triage@1": "", "triage@2": ""})) as running:
        champion = running.state.follower.table.tasks["triage"].targets["champion"]
        payer = target(champion.url, write_folder(folder / "payer", **FORM))
        pay = routes.Task({"champion": payer})
        running.route(routes.Table(2, {"triage": routes.Task({"champion": champion}), "pay": pay}))
        running.stub.answer = lambda body: json.dumps([CALL, CALL]) if body.get("tools") else ANSWER
        yield running


def record(gateway: RunningGateway, model: str, **more: Any) -> dict:
    """What the records keep of a chat with `model`."""
    with gateway.client() as client:
        asked = {"model": model, "messages": ASKED, **more}
        request_id = client.post("/v1/chat/completions", json=asked).headers["x-request-id"]
    [row] = wait_for(lambda: [row for row in gateway.rows() if row["id"] == request_id], "the record")
    return row


@pytest.mark.slow
@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_that_calls_tools_is_kept_as_its_calls(gateway: RunningGateway, stream: bool) -> None:
    row = record(gateway, "pay", tools=TOOLS, stream=stream)
    assert json.loads(row["output"]) == json.loads(KEPT) * 2
    assert (row["finish_reason"], row["error"], row["valid"]) == ("tool_calls", None, True)
    other = record(gateway, "triage", tools=TOOLS, stream=stream)  # to which tools are another kind of request
    assert (other["output"], other["valid"]) == (row["output"], None)


@pytest.mark.slow
def test_feedback_on_calls_is_compared_with_them(gateway: RunningGateway) -> None:
    row = record(gateway, "pay", tools=TOOLS)
    right = json.dumps([CALL, CALL], indent=2)
    with gateway.client() as client:
        opinion = {"request_id": row["id"], "correction": {"answer": right}}
        assert client.post("/feedback", json=opinion).status_code == 201
    given = gateway.rows("feedback")[-1]["correction"]
    assert json.loads(given["answer"]) == json.loads(KEPT) * 2
    assert contract.load(gateway.folder / "payer").agrees(row["output"], given, []) is True
