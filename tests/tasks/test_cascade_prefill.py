"""A chat with the beginning of its answer, and the answer whole again: no model, no server."""

import asyncio
import json
import re

import pytest
from hypothesis import given as of_all
from hypothesis import strategies as st

from tasks.serve.cascade.prefill import TEXT, Message, PrefixedSend, question, with_beginning

COLUMNS = ("category", "priority", "reply")
GIVEN = '{"category": "billing", "priority": "high", "reply":'
REST = ' "Hello."}'
USER = {"role": "user", "content": "My bill is wrong"}
SYSTEM = {"role": "system", "content": "Answer with JSON."}
SCHEMA = {
    "type": "object",
    "properties": {"category": {"enum": ["billing", "other"]}, "priority": {"type": "string"}, "reply": {}},
    "required": [*COLUMNS],
    "additionalProperties": False,
}


def asking(*messages: object, **more: object) -> dict:
    return {"model": "things@1", "messages": [*messages], **more}


def schema(of: dict) -> dict:
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": of}}


@pytest.mark.parametrize("content", ["My bill\nis wrong", [{"type": "text", "text": "My bill"}, "is wrong"]])
def test_a_chat_that_asks_once_is_labelled_whatever_its_content_is_written_as(content: object) -> None:
    asked = question(asking(SYSTEM, {"role": "user", "content": content}))
    assert asked == [SYSTEM, {"role": "user", "content": "My bill\nis wrong"}]


@pytest.mark.parametrize(
    "body",
    [
        asking(USER, tools=[{"type": "function", "function": {"name": "f"}}]),
        asking(USER, {"role": "assistant", "content": "{"}, continue_final_message=True, add_generation_prompt=False),
        asking(USER, {"role": "assistant", "content": "Why?"}, USER),
        asking(USER, USER),
        asking(USER, SYSTEM),
        asking(SYSTEM),
        asking(),
        asking({"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:"}}]}),
        asking(USER, structured_outputs={"choice": ["yes", "no"]}),
        asking(USER, add_generation_prompt=False),
        asking("hello"),
        {"model": "things@1"},
    ],
)
def test_any_other_chat_is_not(body: dict) -> None:
    assert question(body) is None


def test_what_is_told_stands_last_and_is_gone_on_with() -> None:
    body = asking(SYSTEM, USER, n=2, stream=True, echo=True, max_tokens=7)
    changed = with_beginning(body, GIVEN, COLUMNS)
    assert changed == {
        **body,
        "messages": [SYSTEM, USER, {"role": "assistant", "content": GIVEN}],
        "continue_final_message": True,
        "add_generation_prompt": False,
        "echo": False,  # vLLM would put it there a second time, and work out prompt_logprobs
    }
    assert body["messages"] == [SYSTEM, USER]


@pytest.mark.parametrize("form", [{"type": "json_object"}, schema(SCHEMA), schema({"type": "object"})])
def test_who_asks_for_json_gets_it(form: dict) -> None:
    changed = with_beginning(asking(USER, response_format=form), GIVEN, COLUMNS)
    assert changed is not None and "response_format" not in changed
    assert re.fullmatch(changed["structured_outputs"]["regex"], REST)


@pytest.mark.parametrize("form", [None, {"type": "text"}])
def test_who_asks_for_text_is_held_to_no_form(form: dict | None) -> None:
    changed = with_beginning(asking(USER, response_format=form), GIVEN, COLUMNS)
    assert changed is not None and not {"response_format", "structured_outputs"} & changed.keys()


@pytest.mark.parametrize(
    "form",
    [
        schema({**SCHEMA, "required": ["summary"]}),
        schema({**SCHEMA, "properties": {"category": {"enum": ["other"]}, "priority": {}, "reply": {}}}),
        schema({"type": "array"}),
        schema({"type": "no type"}),
        schema({"$ref": "#/$defs/nowhere"}),
        {"type": "json_schema"},
        {"type": "structural_tag"},
        "json",
    ],
)
def test_who_asks_for_another_form_is_passed_on(form: object) -> None:
    assert with_beginning(asking(USER, response_format=form), GIVEN, COLUMNS) is None


def test_columns_behind_the_first_that_is_written_are_written_too() -> None:
    changed = with_beginning(
        asking(USER, response_format={"type": "json_object"}), '{"category": "billing", "priority":', COLUMNS
    )
    assert changed is not None
    assert re.fullmatch(changed["structured_outputs"]["regex"], ' "high", "reply": "Hello."}')
    assert not re.fullmatch(changed["structured_outputs"]["regex"], ' "high"}')


@of_all(st.text())
def test_a_text_is_held_to_what_json_calls_one(text: str) -> None:
    for is_ascii in (True, False):
        assert re.fullmatch(TEXT, json.dumps(text, ensure_ascii=is_ascii))
    is_text = True
    try:
        json.loads(f'"{text}"')
    except ValueError:
        is_text = False
    assert bool(re.fullmatch(TEXT, f'"{text}"')) == is_text


def sent(messages: list[Message], told: str = GIVEN) -> list[Message]:
    """What goes out of an answer that comes in as `messages`."""
    out: list[Message] = []

    async def send(message: Message) -> None:
        out.append(message)

    async def all_of_it() -> None:
        whole = PrefixedSend(send, told)
        for message in messages:
            await whole(message)

    asyncio.run(all_of_it())
    return out


def reply(body: bytes, status: int = 200, kind: bytes = b"application/json", pieces: int = 1) -> list[Message]:
    size = -(-len(body) // pieces)
    parts = [body[start : start + size] for start in range(0, len(body), size)]
    headers = [(b"content-type", kind), (b"x-kept", b"1")]
    headers += [(b"content-length", str(len(body)).encode())] if kind == b"application/json" else []
    return [
        {"type": "http.response.start", "status": status, "headers": headers},
        *({"type": "http.response.body", "body": part, "more_body": part is not parts[-1]} for part in parts),
    ]


@pytest.mark.parametrize("pieces", [1, 3])
def test_each_choice_of_an_answer_is_whole(pieces: int) -> None:
    choices = [{"index": at, "message": {"role": "assistant", "content": text}} for at, text in [(0, REST), (1, None)]]
    value = {"id": "1", "choices": choices, "usage": {"completion_tokens": 4}, "prompt_token_ids": [1, 2]}
    start, body = sent(reply(json.dumps(value).encode(), pieces=pieces))
    answer = json.loads(body["body"])
    assert [choice["message"]["content"] for choice in answer["choices"]] == [GIVEN + REST, GIVEN]
    assert (answer["usage"], answer["prompt_token_ids"]) == (value["usage"], [1, 2])
    headers = dict(start["headers"])
    assert headers[b"content-length"] == str(len(body["body"])).encode() and headers[b"x-kept"] == b"1"


def test_what_is_no_answer_stays_as_it_is() -> None:
    refusal = reply(b'{"error": {"message": "planted"}}', status=400)
    assert sent(refusal) == refusal


@pytest.mark.parametrize("pieces", [1, 2, 7, 40])
def test_each_choice_of_a_stream_begins_with_what_was_told(pieces: int) -> None:
    def event(at: int, **delta: str) -> bytes:
        return b"data: " + json.dumps({"choices": [{"index": at, "delta": delta}]}).encode() + b"\n\n"

    begins = [event(at, role="assistant", content="") for at in (0, 1)]
    words = [event(0, content=' "Hel'), event(1, content=' "\u00e9t\u00e9"}'), event(0, content='lo."}')]
    end = [b'data: {"choices": [], "usage": {"completion_tokens": 4}}\n\n', b"data: [DONE]\n\n"]
    came = reply(b"".join([*begins, *words, *end]), kind=b"text/event-stream; charset=utf-8", pieces=pieces)
    out = b"".join(message["body"] for message in sent(came)[1:])
    assert out.endswith(b"".join([*words, *end]))
    deltas = [json.loads(line[6:])["choices"] for line in out.split(b"\n\n")[:5]]
    written = {at: "".join(c["delta"]["content"] for cs in deltas for c in cs if c["index"] == at) for at in (0, 1)}
    assert written == {0: GIVEN + REST, 1: GIVEN + ' "\u00e9t\u00e9"}'}
