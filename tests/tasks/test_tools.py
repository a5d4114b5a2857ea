"""Tool calls are read in the forms that models write, equal calls are equal answers, and a call is valid when the
tool is there and its arguments fit.
"""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.formats import tools
from tasks.formats.answer import TextAnswer, ToolAnswer, agrees, format_in
from tasks.stages.evaluate.params import Evaluate
from tasks.stages.evaluate.predictions import read

CALL = {"name": "weather", "arguments": {"place": "Ulm", "days": 2}}
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {
            "type": "object",
            "properties": {"place": {"type": "string"}, "days": {"type": "integer"}},
            "required": ["place"],
            "additionalProperties": False,
        },
    },
}
FORM = format_in({"system": None, "user": "{{ question }}", "answer": "{{ answer }}", "tools": True})
SAID = [
    json.dumps([CALL]),
    json.dumps(CALL),
    f"<tool_call>\n{json.dumps(CALL)}\n</tool_call>",
    f"I look. <tool_call>{json.dumps(CALL)}",  # cut off before its end: the call is whole
    json.dumps([{"arguments": {"days": 2.0, "place": "Ulm"}, "name": "weather"}]),
    json.dumps({"name": "weather", "parameters": json.dumps(CALL["arguments"])}),
]
BROKEN = [
    "<tool_call>{}</tool_call>",
    '<tool_call>{"name": "weather", "argum',
    '<tool_call>{"name": 3, "arguments": {}}',
]


def test_the_format_of_rows_with_tools_reads_calls_and_texts() -> None:
    assert isinstance(FORM, ToolAnswer) and FORM.columns == ("answer",)
    assert isinstance(format_in({"answer": "{{ answer }}"}), TextAnswer)
    assert FORM.read("It is warm.") == {"answer": "It is warm."} and FORM.read(" ") is None
    assert FORM.write({"answer": "x"}) == "x"


@pytest.mark.parametrize("text", SAID)
def test_equal_calls_agree_in_whatever_form_they_are_written(text: str) -> None:
    right = FORM.read(json.dumps([CALL]))
    assert right is not None and agrees(FORM.read(text), right, ())


@pytest.mark.parametrize(
    "other",
    [
        {**CALL, "name": "wether"},
        {**CALL, "arguments": {"place": "Ulm", "days": 3}},
        {**CALL, "arguments": {"place": "Ulm"}},
        {**CALL, "arguments": {"place": "Ulm", "days": "2"}},
        {**CALL, "arguments": {"place": "Ulm", "days": True}},
    ],
)
def test_other_calls_do_not_agree(other: dict[str, Any]) -> None:
    right = FORM.read(json.dumps([CALL]))
    assert right is not None and not agrees(FORM.read(f"<tool_call>{json.dumps(other)}</tool_call>"), right, ())


@pytest.mark.parametrize("text", BROKEN)
def test_a_call_that_is_not_whole_is_no_answer(text: str) -> None:
    assert FORM.read(text) is None


values = st.recursive(
    st.none() | st.booleans() | st.integers(-99, 99) | st.text(st.characters(exclude_categories=["Cs"]), max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@given(arguments=st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=5), values, max_size=4))
def test_calls_read_back_as_they_were_written(arguments: dict[str, Any]) -> None:
    calls = [{"name": "f", "arguments": arguments}]
    assert tools.read(tools.canonical(calls)) == calls
    assert tools.canonical(tools.read(tools.canonical(calls)) or []) == tools.canonical(calls)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (CALL, None),
        ({**CALL, "name": "wind"}, "there is no tool `wind` (weather)"),
        ({**CALL, "arguments": {}}, "the arguments of `weather` do not fit: 'place' is a required property"),
        ({**CALL, "arguments": {"place": 3}}, "the arguments of `weather` do not fit: 3 is not of type 'string'"),
    ],
)
def test_a_call_is_held_against_the_tools_that_there_were(call: dict[str, Any], words: str | None) -> None:
    assert tools.problem([call], [WEATHER]) == words


@pytest.mark.parametrize("schema", [{"type": 3}, {"$ref": "http://127.0.0.1:9/x"}, {"$ref": "#"}])
def test_a_tool_whose_schema_says_nothing_takes_any_arguments(schema: dict[str, Any]) -> None:
    broken = {"type": "function", "function": {"name": "weather", "parameters": schema}}
    assert tools.problem([CALL], [broken]) is None


def prediction(text: str, **more: Any) -> dict[str, Any]:
    expected = json.dumps([CALL])
    return {"id": "1", "text": text, "answer": expected, "row": {"answer": expected}, "nll": 1, "tokens": 2, **more}


def test_valid_and_exact_match_of_calls() -> None:
    from tasks.stages.evaluate import measures

    wind = "<tool_call>" + json.dumps({"name": "wind", "arguments": {}}) + "</tool_call>"
    rows = [prediction(text, tools=[WEATHER], calls=[{}]) for text in (SAID[2], wind, BROKEN[0], "It is warm.")]
    table = measures.of(Evaluate(), FORM)
    answers = read(rows, FORM, {})
    assert table["valid"].rows(answers).tolist() == [1, 0, 0, 1]
    assert table["exact_match"].rows(answers).tolist() == [1, 0, 0, 0]
    unknown = read([prediction(wind, calls=[{}]), prediction(wind)], FORM, {})
    assert table["valid"].rows(unknown).tolist() == [1, 0]


def test_the_parser_follows_from_what_the_template_writes() -> None:
    assert tools.parser("…'<tool_call>' + x") == "hermes" and tools.parser("<|im_start|>") is None


def test_messages_are_sent_as_openais_api_takes_them() -> None:
    call = {"type": "function", "function": {"name": "weather", "arguments": {"place": "Köln"}}}
    turns = [
        {"role": "user", "content": "x"},
        {"role": "assistant", "content": "", "tool_calls": [call, call], "weight": 0},
        {"role": "tool", "content": "r"},
        {"role": "tool", "content": "s"},
    ]
    made = tools.openai_messages(turns)
    assert [entry["id"] for entry in made[1]["tool_calls"]] == [entry["tool_call_id"] for entry in made[2:]]
    assert made[1]["tool_calls"][0]["function"]["arguments"] == '{"place": "Köln"}' and "weight" not in made[1]
    assert "id" not in call and made[0] == turns[0]


def test_a_call_is_sent_by_its_own_id_and_a_result_that_names_none_is_the_next_ones() -> None:
    call = {"type": "function", "function": {"name": "weather", "arguments": {}}}
    called = {"role": "assistant", "content": "", "tool_calls": [{"id": "abc", **call}, {"id": "def", **call}]}
    result = {"role": "tool", "content": "r"}
    made = tools.openai_messages([called, {**result, "tool_call_id": "def"}, {**result, "tool_call_id": "abc"}])
    assert [entry["id"] for entry in made[0]["tool_calls"]] == ["abc", "def"]
    assert [entry["tool_call_id"] for entry in made[1:]] == ["def", "abc"]
    assert [entry["tool_call_id"] for entry in tools.openai_messages([called, result, result])[1:]] == ["abc", "def"]


def test_tools_are_rendered_as_vllm_renders_them() -> None:
    given = {"type": "function", "strict": True, "function": {"parameters": {"b": 1, "a": 2}, "x": 1, "name": "f"}}
    made = tools.template_tools([given])
    assert json.dumps(made[0]["function"]) == '{"name": "f", "description": null, "parameters": {"b": 1, "a": 2}}'
