"""A dialogue becomes the row that is trained on, whoever wrote it, with ids of calls and weights of turns, or is set
aside with the reason.
"""

import json
from collections.abc import Mapping

import pytest

from tasks.stages.prepare.rows import SetAside
from tests.tasks.test_shapes import example, row

SEARCH = {"name": "search", "description": "", "parameters": {"type": "object", "properties": {}}}
TOOLS = [{"type": "function", "function": SEARCH}]
CALL = {"type": "function", "function": {"name": "search", "arguments": {"q": "tea", "n": 2}}}
USER, TEA = {"role": "user", "content": "Where is tea?"}, {"role": "assistant", "content": "On shelf 2."}
CALLED = [USER, {"role": "assistant", "content": "", "tool_calls": [CALL]}, {"role": "tool", "content": '{"shelf": 2}'}]
WITH_IDS = [
    USER,
    {**CALLED[1], "tool_calls": [{"id": "c1", **CALL}]},
    {**CALLED[2], "tool_call_id": "c1"},
]


OPENAI = [
    USER,
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "search", "arguments": '{"q": "tea", "n": 2}'}}
        ],
    },
    {"role": "tool", "tool_call_id": "c1", "content": '{"shelf": 2}'},
    TEA,
]
SHAREGPT = [
    {"from": "human", "value": "Where is tea?"},
    {"from": "function_call", "value": '{"name": "search", "arguments": {"q": "tea", "n": 2}}'},
    {"from": "observation", "value": '{"shelf": 2}'},
    {"from": "gpt", "value": "On shelf 2."},
]


@pytest.mark.parametrize(
    ("turns", "tools", "called"),
    [
        (OPENAI, TOOLS, WITH_IDS),
        (SHAREGPT, json.dumps([SEARCH]), CALLED),
        ([*SHAREGPT[:2], {"from": "observation", "value": {"shelf": 2}}, SHAREGPT[3]], [SEARCH], CALLED),
    ],
)
def test_a_dialogue_with_tools_is_the_same_row_from_openai_and_sharegpt_but_for_ids_of_calls(
    turns: list, tools: object, called: list
) -> None:
    assert example("chat", {"messages": turns, "tools": tools}) == row(called, "On shelf 2.", tools=TOOLS)


def test_an_answer_that_calls_keeps_its_ids_beside_its_text_and_a_result_the_name_of_its_tool() -> None:
    calls = [{"id": 7, "function": SEARCH | {"arguments": {"q": q}}} for q in ("tea",)]
    made = example("chat", {"messages": [USER, {"role": "assistant", "content": None, "tool_calls": calls}]})
    assert [call["id"] for call in made["calls"]] == ["7"] and "7" not in made["answer"]
    named = example("chat", {"messages": [*CALLED[:2], {**CALLED[2], "name": "search"}, TEA]})
    assert named["messages"][2] == {**CALLED[2], "name": "search"}


def test_a_call_that_is_a_turn_of_its_own_has_its_own_weight() -> None:
    called = {**SHAREGPT[1], "weight": 0.5}
    assert example("chat", {"messages": [SHAREGPT[0], called]})["weight"] == 0.5
    said = {"from": "gpt", "value": "Let me look."}
    assert example("chat", {"messages": [SHAREGPT[0], said, called]})["weight"] == 0.5
    before = example("chat", {"messages": [SHAREGPT[0], {**said, "weight": 3}, SHAREGPT[1]]})
    assert before["weight"] == 3


def results(*turns: Mapping[str, object], ids: tuple[str | None, ...] = ("c1", "c2")) -> list[Mapping[str, object]]:
    """A dialogue with two calls and these results."""
    calls = [{"id": identity, **CALL} if identity else CALL for identity in ids]
    return [USER, {**CALLED[1], "tool_calls": calls}, *({**CALLED[2], **turn} for turn in turns), TEA]


def test_an_answer_that_calls_a_tool_is_the_calls_as_json() -> None:
    made = example("chat", {"messages": SHAREGPT[:2], "tools": [SEARCH]})
    answer = '[{"name": "search", "arguments": {"q": "tea", "n": 2}}]'
    assert made == row([USER], answer, tools=TOOLS, calls=[CALL])


def test_words_before_a_call_are_one_turn_with_it() -> None:
    said = {"from": "gpt", "value": "Let me look."}
    made = example("chat", {"messages": [SHAREGPT[0], said, *SHAREGPT[1:]]})
    assert made["messages"] == [USER, {**CALLED[1], "content": "Let me look."}, CALLED[2]]


def test_content_may_be_parts_and_a_system_message_is_that_of_the_row_its_column_or_the_data_set() -> None:
    parts = [{"role": "user", "content": [{"type": "text", "text": "Where is"}, {"type": "text", "text": "tea?"}]}, TEA]
    own = {"role": "system", "content": "Be kind."}
    assert example("chat", {"messages": parts})["messages"] == [{"role": "user", "content": "Where is\ntea?"}]
    assert example("chat", {"messages": [own, *parts]}, system="Be brief.")["messages"][0] == own
    assert example("chat", {"messages": parts}, system="Be kind.")["messages"][0] == own
    assert example("chat", {"messages": parts, "system": "Be kind."}, system="Be brief.")["messages"][0] == own


def test_turns_are_trained_on_by_their_weight_and_what_follows_the_last_of_them_is_left_out() -> None:
    again, no = {"role": "user", "content": "And milk?"}, {"role": "assistant", "content": "Sold out."}
    turns = [USER, TEA, again, no]
    assert example("chat", {"messages": turns}) == row([USER, TEA, again], "Sold out.", "And milk?")
    last = example("chat", {"messages": turns}, train_on="last")
    assert last["messages"] == [USER, {**TEA, "weight": 0.0}, again]
    unread = example("chat", {"messages": [USER, TEA, again, {**no, "weight": 0}]})
    assert unread == row([USER], "On shelf 2.")
    assert example("chat", {"messages": [USER, {**TEA, "weight": 0.5}]}) == row([USER], "On shelf 2.", weight=0.5)


@pytest.mark.parametrize(
    ("turns", "words"),
    [
        ([], "`messages` holds no turn"),
        ("hello", "`messages` is not JSON ('hello')"),
        ([{"content": "x"}], "turn 1 of `messages` has the role 'null'; known are "),
        ([{"role": "narrator", "content": "x"}], "turn 1 of `messages` has the role 'narrator'; known are assistant, "),
        ([USER, USER, TEA], "turn 2 of `messages` is of the user, where a turn of the assistant is expected"),
        ([TEA, USER, TEA], "turn 1 of `messages` is of the assistant, where a turn of the system or user is expected"),
        ([USER], "the last turn of `messages` is not of the assistant"),
        ([USER, {"role": "assistant", "content": " \u200b"}], "turn 2 of `messages`, of the assistant, is empty"),
        ([USER, {**TEA, "weight": 0}], "no turn of `messages` is trained on: all have weight 0"),
        ([USER, {**TEA, "weight": -1}], "turn 2 of `messages` has the weight '-1', which is not a number of 0 or more"),
        (
            [SHAREGPT[0], {"from": "function_call", "value": "search(tea)"}],
            "turn 2 of `messages` calls a tool, and ",
        ),
        ([SHAREGPT[0], {"from": "function_call", "value": "{}"}], "turn 2 of `messages` calls a tool without a name"),
        (
            [SHAREGPT[0], {"from": "function_call", "value": '{"name": "find", "arguments": {}}'}],
            "turn 2 of `messages` calls `find`, which is not one of its tools (search)",
        ),
        (
            [{"role": "user", "content": [{"type": "image_url"}]}, TEA],
            "turn 1 of `messages` has a part that is ",
        ),
        ([*CALLED[:2], USER, TEA], "turn 3 of `messages` is of the user, where a turn of the tool is expected"),
        (
            results({"tool_call_id": "c2"}, {"tool_call_id": "c3"}),
            "turn 4 of `messages` is the result of `c3`, which is not the tool_call_id of an earlier call (c1, c2)",
        ),
        (
            results({"tool_call_id": "c1"}, ids=(None,)),
            "turn 3 of `messages` is the result of `c1`, which is not the tool_call_id of an earlier call (the calls h",
        ),
        (
            results({"name": "find"}, ids=("c1",)),
            "turn 3 of `messages` is the result of `find`, which is not the name of an earlier call (search)",
        ),
        (results({}, ids=("c1", "c1")), "turn 2 of `messages` gives the id `c1` to two calls"),
        (results({"tool_call_id": ["c1"]}), "turn 3 of `messages` has ['c1'] for the id of a call, which is not a "),
    ],
)
def test_a_dialogue_that_is_none_is_set_aside_with_the_reason(turns: object, words: str) -> None:
    with pytest.raises(SetAside) as reason:
        example("chat", {"messages": turns, "tools": TOOLS})
    assert str(reason.value).startswith(words)
