"""A raw row of each shape becomes the row that is trained on, in whichever of the forms others write it."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from tasks import kinds
from tasks.stages.prepare import shapes
from tasks.stages.prepare.rows import SetAside


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
