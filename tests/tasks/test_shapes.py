"""A raw row of each shape becomes the row that is trained on, in whichever of the forms others write it."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from tasks import kinds
from tasks.prepare import shapes
from tasks.prepare.rows import SetAside

SEARCH = {"name": "search", "description": "", "parameters": {"type": "object", "properties": {}}}
TOOLS = [{"type": "function", "function": SEARCH}]
CALL = {"type": "function", "function": {"name": "search", "arguments": {"q": "tea", "n": 2}}}
USER, TEA = {"role": "user", "content": "Where is tea?"}, {"role": "assistant", "content": "On shelf 2."}
CALLED = [USER, {"role": "assistant", "content": "", "tool_calls": [CALL]}, {"role": "tool", "content": '{"shelf": 2}'}]


def example(shape: str, raw: Mapping[str, object], **params: object) -> dict[str, Any]:
    """What a row makes; cells that are no text stand as ingest keeps them."""
    cells = {key: value if isinstance(value, str) else json.dumps(value) for key, value in raw.items()}
    module = kinds.load(shapes.__name__, shape)
    return dict(module.example({"id": "r1", **cells}, module.Params(shape=shape, **params)))


def row(messages: list[dict], answer: str, question: str = "Where is tea?", **more: object) -> dict[str, Any]:
    return {
        "id": "r1",
        "messages": messages,
        "answer": answer,
        "row": {"id": "r1", "question": question, "answer": answer},
        **more,
    }


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
    ("turns", "tools"),
    [
        (OPENAI, TOOLS),
        (SHAREGPT, json.dumps([SEARCH])),
        ([*SHAREGPT[:2], {"from": "observation", "value": {"shelf": 2}}, SHAREGPT[3]], [SEARCH]),
    ],
)
def test_a_dialogue_with_tools_is_the_same_row_from_openai_and_sharegpt(turns: list, tools: object) -> None:
    assert example("chat", {"messages": turns, "tools": tools}) == row(CALLED, "On shelf 2.", tools=TOOLS)


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
        ([USER, USER, TEA], "turn 2 of `messages` is of the user, where one of the assistant ought to stand"),
        ([TEA, USER, TEA], "turn 1 of `messages` is of the assistant, where one of the system or user ought to stand"),
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
            "turn 2 of `messages` calls `find`, which is none of its tools (search)",
        ),
        (
            [{"role": "user", "content": [{"type": "image_url"}]}, TEA],
            "turn 1 of `messages` has a part that is ",
        ),
        ([*CALLED[:2], USER, TEA], "turn 3 of `messages` is of the user, where one of the tool ought to stand"),
    ],
)
def test_a_dialogue_that_is_none_is_set_aside_with_the_reason(turns: object, words: str) -> None:
    with pytest.raises(SetAside) as reason:
        example("chat", {"messages": turns, "tools": TOOLS})
    assert str(reason.value).startswith(words)


def test_alpaca_rounds_and_input_make_the_question() -> None:
    raw = {"instruction": "Sort.", "input": "b a", "output": "a b", "history": [["Hi", "Hello"]], "system": "Be kind."}
    made = example("alpaca", raw)
    assert [message["content"] for message in made["messages"]] == ["Be kind.", "Hi", "Hello", "Sort.\n\nb a"]
    assert made["answer"] == "a b" and made["row"] == {"id": "r1", **{key: raw[key] for key in list(raw)[:3]}}
    alone = example("alpaca", {"q": "Sing.", "a": "La."}, instruction="q", output="a")
    assert alone["messages"] == [{"role": "user", "content": "Sing."}] and alone["row"]["input"] == ""


GOOD, BAD = "Tea, please.", "No."
PROMPT = [{"role": "user", "content": "Tea?"}]
SIDES = ({"from": "gpt", "value": GOOD}, {"from": "gpt", "value": BAD})
WHOLE = tuple([*PROMPT, {"role": "assistant", "content": text}] for text in (GOOD, BAD))
HH = tuple(f"\n\nHuman: Tea?\n\nAssistant: {text}" for text in (GOOD, BAD))


def sides(pair: tuple[object, object]) -> dict[str, object]:
    return {"chosen": pair[0], "rejected": pair[1]}


@pytest.mark.parametrize(
    ("raw", "params"),
    [
        ({"prompt": "Tea?", "chosen": GOOD, "rejected": BAD}, {}),
        (
            {
                "conversations": [{"from": "human", "value": "Tea?"}],
                **sides(SIDES),
            },
            {"prompt": "conversations"},
        ),
        ({"prompt": "Tea?", **sides(WHOLE)}, {}),
        (sides(HH), {}),
        (
            {"question": PROMPT, "yes": [{"role": "assistant", "content": GOOD}], "no": BAD},
            {"prompt": "question", "chosen": "yes", "rejected": "no"},
        ),
    ],
)
def test_a_preference_is_the_same_row_as_texts_turns_and_whole_dialogues(raw: dict, params: dict) -> None:
    assert example("preference", raw, **params) == row(PROMPT, GOOD, "Tea?", rejected=BAD)


@pytest.mark.parametrize(
    ("raw", "kind", "words"),
    [
        ({"chosen": GOOD, "rejected": f" {GOOD.upper()}"}, "no_preference", "`chosen` and `rejected` say the same"),
        ({"chosen": GOOD, "rejected": ""}, "blank", "`rejected` is empty"),
        (
            {"chosen": WHOLE[0], "rejected": HH[1].replace("Tea", "Milk")},
            "malformed",
            "its two dialogues differ",
        ),
        ({"prompt": "", "chosen": GOOD, "rejected": BAD}, "malformed", "it has no prompt, and `chosen` is not a whole"),
    ],
)
def test_a_pair_that_prefers_nothing_is_set_aside(raw: dict, kind: str, words: str) -> None:
    with pytest.raises(SetAside) as reason:
        example("preference", {"prompt": "Tea?", **raw})
    assert reason.value.kind == kind and str(reason.value).startswith(words)


@pytest.mark.parametrize(
    ("raw", "params"),
    [
        ({"messages": WHOLE[0], "label": "true"}, {}),
        ({"prompt": "Tea?", "completion": GOOD, "label": "1"}, {"answer": "completion"}),
        (
            {"prompt": PROMPT, "completion": [WHOLE[0][1]], "kto_tag": "Yes"},
            {"answer": "completion", "label": "kto_tag"},
        ),
    ],
)
def test_a_rated_answer_is_the_same_row_from_a_dialogue_and_from_prompt_and_completion(raw: dict, params: dict) -> None:
    assert example("rated", raw, **params) == row(PROMPT, GOOD, "Tea?", rating=True)


def test_a_rating_that_is_neither_is_set_aside() -> None:
    with pytest.raises(SetAside, match="^`label` is 'perhaps', which is neither true nor false$"):
        example("rated", {"messages": WHOLE[0], "label": "perhaps"})


def test_a_text_is_the_answer_and_asks_nothing() -> None:
    made = example("text", {"body": " One.\n\nTwo.\n"}, text="body")
    assert made == {"id": "r1", "messages": [], "answer": "One.\n\nTwo.", "row": {"id": "r1", "text": "One.\n\nTwo."}}


def test_a_pair_may_lie_in_one_object() -> None:
    raw = {"translation": {"en": "tea", "de": "Tee"}}
    made = example("pair", raw, source="translation.en", target="translation.de", user="German: {{ source }}")
    assert made["messages"] == [{"role": "user", "content": "German: tea"}] and made["answer"] == "Tee"
    with pytest.raises(SetAside, match="^`translation` has no text `fr`$"):
        example("pair", raw, source="translation.fr", target="translation.de")
