"""Rows of each shape as people bring them, enough to train a few steps on."""

import random
from typing import Any

from tests import tiny

CALL = '{"name": "find", "arguments": {"colour": "%s"}}'
FIND = {
    "name": "find",
    "description": "Find a thing.",
    "parameters": {"type": "object", "properties": {"colour": {"type": "string"}}, "required": ["colour"]},
}


def table(thing: dict[str, str]) -> dict[str, Any]:
    """A text and its class."""
    return {"text": f"Where is my {thing['size']} {thing['thing']}?", "intent": thing["colour"]}


def alpaca(thing: dict[str, str]) -> dict[str, Any]:
    """An instruction, its input, an output."""
    return {
        "instruction": "Say where it belongs.",
        "input": f"{thing['size']} {thing['thing']}",
        "output": thing["reply"],
    }


def chat(thing: dict[str, str]) -> dict[str, Any]:
    """A dialogue of several turns with a tool call, in ShareGPT's words."""
    return {
        "conversations": [
            {"from": "human", "value": f"Find {thing['thing']}, {thing['size']}."},
            {"from": "function_call", "value": CALL % thing["colour"]},
            {"from": "observation", "value": '{"place": "shelf"}'},
            {"from": "gpt", "value": thing["reply"]},
        ],
        "tools": [FIND],
    }


def preference(thing: dict[str, str]) -> dict[str, Any]:
    """A question, a better and a worse answer."""
    return {
        "prompt": f"Where does {thing['thing']}, {thing['size']}, belong?",
        "chosen": thing["reply"],
        "rejected": f"No idea where {thing['thing']} goes.",
    }


def choice(thing: dict[str, str]) -> dict[str, Any]:
    """The same, with how much better the answer is."""
    return {**preference(thing), "margin": "0.5"}


def rated(thing: dict[str, str]) -> dict[str, Any]:
    """A question, an answer, and whether it is good."""
    pair, is_good = preference(thing), thing["mood"] == "warm"
    return {
        "prompt": pair["prompt"],
        "completion": pair["chosen" if is_good else "rejected"],
        "label": "yes" if is_good else "no",
    }


def text(thing: dict[str, str]) -> dict[str, Any]:
    """A short document that shares little with the others."""
    dice = random.Random(thing["id"])
    words = [dice.choice([*tiny.THINGS, *tiny.SIZES, *tiny.COLOURS]) for _ in range(40)]
    return {"text": f"About {thing['thing']}: {' '.join(words)}."}


def pair(thing: dict[str, str]) -> dict[str, Any]:
    """A source and its target."""
    return {"source": f"{thing['thing']}, {thing['size']}", "target": thing["reply"]}


def labelled(thing: dict[str, str]) -> dict[str, Any]:
    """A text and its class, as a table has them."""
    return table(thing)


def scored(thing: dict[str, str]) -> dict[str, Any]:
    """A text and a number."""
    return {**table(thing), "stars": str(1 + tiny.SIZES.index(thing["size"]) / 2)}


def tagged(thing: dict[str, str]) -> dict[str, Any]:
    """Tokens, and a tag of each."""
    return {"tokens": [thing["size"], *thing["thing"].split()], "tags": ["B-SIZE", "O", "B-THING", "I-THING"]}


def spans(thing: dict[str, str]) -> dict[str, Any]:
    """A question about a short text, and SQuAD's answers."""
    context = f"{thing['size'].capitalize()}, {thing['thing']}! A door of no. {thing['id'][-2:]}."
    answers = {"text": [thing["colour"]], "answer_start": [context.index(thing["colour"])]}
    is_there = int(thing["id"][-2:]) % 3 > 0
    return {
        "question": f"Which colour has {'it' if is_there else 'the sky'}?",
        "context": context,
        "answers": answers if is_there else {"text": [], "answer_start": []},
    }


def infill(thing: dict[str, str]) -> dict[str, Any]:
    """A function whose return value is missing."""
    name = "_".join(thing["thing"].split())
    return {
        "prefix": f"def {name}_{thing['id'][-2:]}():\n    size = '{thing['size']}'\n    return ",
        "middle": f"'{thing['colour']}'",
        "suffix": f"\n\n\n# {thing['reply']}\n",
    }


MAKERS = {
    maker.__name__: maker
    for maker in (table, labelled, scored, alpaca, chat, preference, rated, choice, text, pair, tagged, spans, infill)
}


def rows(shape: str, count: int) -> list[dict[str, Any]]:
    """`count` rows of a shape."""
    return [MAKERS[shape](thing) for thing in tiny.things(0, count)]
