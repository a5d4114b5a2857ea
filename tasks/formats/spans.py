"""Extracted answers as JSON, and the layout of a question above its context.

Positions are counted in characters of the text. An empty answer says that the text has none. If a row has several right
answers, the texts of all but the first are its `others`.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

FIELDS = ("answer", "start", "end")
COLUMN = FIELDS[0]
DIGITS = 7  # of a probability in a file
GIVEN, OTHER = "given", "other"  # keys of probabilities: the reported answer, and any other


class Span(NamedTuple):
    """A part of a text."""

    start: int
    end: int  # exclusive


def split_question(text: str) -> tuple[str, str]:
    """(question, context) of a prompt: the question is its first line."""
    question, _, context = text.partition("\n")
    return question, context


def to_json(context: str, span: Span | None, others: Sequence[str] = ()) -> str:
    """The answer at `span` of `context` (None: no answer) as JSON."""
    start, end = span or (None, None)
    answer = {"answer": context[slice(*span)] if span else "", "start": start, "end": end}
    return json.dumps({**answer, **({"others": list(others)} if others else {})}, ensure_ascii=False)


def read(text: str) -> dict[str, Any] | None:
    """The object of an answer, `{answer, start, end}` and maybe `others`; None for anything else.

    Start and end need not match the length of the text, which may have been redacted in the records.
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
    """The position of an answer; None if it is empty or not valid."""
    value = read(text)
    return None if value is None or value["start"] is None else Span(value["start"], value["end"])


def as_probabilities(probability: float) -> dict[str, dict[str, float]]:
    """The probability of an answer, in the form of a column's probabilities."""
    return {COLUMN: {GIVEN: probability, OTHER: round(1 - probability, DIGITS)}}


def probability_in(probabilities: Mapping[str, Mapping[str, float]] | None) -> float | None:
    """The probability of an extracted answer; None for other kinds of answers."""
    return (probabilities or {}).get(COLUMN, {}).get(GIVEN)
