"""Extracted answers: the one form in which they are written and read, and how a question is put above its context.

A place is counted in characters of the text. An answer that is empty says that the text has none. Where a row has
several right answers, those beside the first are its `others`: texts.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

FIELDS = ("answer", "start", "end")
COLUMN = FIELDS[0]
DIGITS = 7  # of a probability in a file
GIVEN, OTHER = "given", "other"  # the answer as it was given, and any other: what probabilities are told of


class Span(NamedTuple):
    """A stretch of a text."""

    start: int
    end: int  # the first place behind it


def split_question(text: str) -> tuple[str, str]:
    """(question, text below it) of what a model reads: the question is the first line."""
    question, _, context = text.partition("\n")
    return question, context


def to_json(context: str, span: Span | None, others: Sequence[str] = ()) -> str:
    """The answer that is the `span` of `context` (None: there is none) as JSON."""
    start, end = span or (None, None)
    answer = {"answer": context[slice(*span)] if span else "", "start": start, "end": end}
    return json.dumps({**answer, **({"others": list(others)} if others else {})}, ensure_ascii=False)


def read(text: str) -> dict[str, Any] | None:
    """The object of an answer, `{answer, start, end}` and maybe `others`; None for what is not one.

    Its length is not held against its text, of which the records may have taken something out.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict) or not set(FIELDS) <= set(value) <= {*FIELDS, "others"}:
        return None
    answer, start, end = (value[field] for field in FIELDS)
    if not isinstance(answer, str):
        return None
    is_none = not answer and start is None and end is None
    is_span = bool(answer) and type(start) is int and type(end) is int and 0 <= start < end
    return value if is_none or is_span else None


def span_of(text: str) -> Span | None:
    """Where an answer stands; None where it is empty, or none."""
    value = read(text)
    return None if value is None or value["start"] is None else Span(value["start"], value["end"])


def as_probabilities(probability: float) -> dict[str, dict[str, float]]:
    """How probable an answer is, as probabilities of a column are told."""
    return {COLUMN: {GIVEN: probability, OTHER: round(1 - probability, DIGITS)}}


def probability_in(as_probabilities: Mapping[str, Mapping[str, float]] | None) -> float | None:
    """The probability of an answer of this kind; None of another kind."""
    return (as_probabilities or {}).get(COLUMN, {}).get(GIVEN)
