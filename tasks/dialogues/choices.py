"""A choice: a prompt and several answers to it, of which one is better. As messages, the answers are the assistant's
turns at the end, one after the other, which no dialogue has.
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import TypedDict, TypeVar

COLUMN = "better"  # of the answer: which of the answers is
PAIR = ("first", "second")  # the places of two answers
FIGURES = ("scores", "spreads")  # of an answer, beside the place
MOST = 64  # answers to one prompt
EXAMPLE = "choice"  # the kind of such examples
ENDINGS = {1: "st", 2: "nd", 3: "rd"}


def places(count: int) -> tuple[str, ...]:
    """The names of the places of `count` answers: first, second, third, 4th, …"""
    return (*PAIR, "third", *map(_ordinal, range(4, count + 1)))[:count]


def _ordinal(number: int) -> str:
    is_regular = number % 100 in (11, 12, 13)
    return f"{number}{'th' if is_regular else ENDINGS.get(number % 10, 'th')}"


class Turn(TypedDict):
    """What is needed of a message."""

    role: str
    content: str


M = TypeVar("M", bound=Turn)


def split(messages: Sequence[M]) -> tuple[list[M], list[str]]:
    """(the prompt, the answers to it) of the messages of a choice."""
    count = next((i for i, turn in enumerate(reversed(messages)) if turn["role"] != "assistant"), len(messages))
    end = len(messages) - count
    return list(messages[:end]), [turn["content"] for turn in messages[end:]]


def in_order(question: str, better: str, other: str) -> tuple[tuple[str, str], str]:
    """(two answers in an order that says nothing about them, the place of the better one): the same order, whichever
    is preferred, so that two rows that contradict each other do so in their answers.
    """
    first, second = sorted((better, other), key=lambda answer: _hash(f"{question}\n{answer}"))
    return (first, second), PAIR[0] if first == better else PAIR[1]


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def better(row: Mapping[str, object]) -> str:
    """The place of the better answer of a prepared choice."""
    return str(json.loads(str(row["answer"]))[COLUMN])


def figures(text: str) -> dict[str, list[float]]:
    """The `scores` of a written answer, and the `spreads` of an ensemble; empty where it has none."""
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    kept = {name: value[name] for name in FIGURES if isinstance(value, dict) and isinstance(value.get(name), list)}
    return kept if all(_is_number(entry) for entries in kept.values() for entry in entries) else {}


def _is_number(entry: object) -> bool:
    return isinstance(entry, int | float) and math.isfinite(entry)
