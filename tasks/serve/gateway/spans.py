"""The result of an extractive version: where the answer is in the text as the client sent it, and its probability."""

from collections.abc import Mapping

import regex

from tasks.formats import spans
from tasks.formats.contract import Contract
from tasks.texts.clean import clean

CHARACTER = regex.compile(r"\X")  # what a reader takes for one


def result(contract: Contract, given: object, text: str, probability: float) -> dict[str, object]:
    """`{answer, start, end, probability}` of a valid answer; the places are None where it is empty."""
    span = spans.span_of(text)
    context = given.get(contract.context) if isinstance(given, Mapping) else None
    if span is not None and isinstance(context, str):
        span = as_sent(context, span)
    start, end = span or (None, None)
    answer = (spans.read(text) or {}).get("answer")
    return {"answer": answer, "start": start, "end": end, "probability": probability}


def as_sent(raw: str, span: spans.Span) -> spans.Span:
    """Where a `span` of the cleaned text stands in the `raw` one: cleaning takes out characters and blanks, and puts
    others together.
    """
    cleaned, starts, ends = clean(raw), list[int](), list[int]()
    for match in CHARACTER.finditer(raw):
        is_whole = cleaned.startswith(_made(match.group()), len(starts))
        for start, end in [match.span()] if is_whole else ((i, i + 1) for i in range(*match.span())):
            made = _made(raw[start:end])
            if cleaned.startswith(made, len(starts)):  # what is not there was a blank at an end
                starts += [start] * len(made)
                ends += [end] * len(made)
    return spans.Span(starts[span.start], ends[span.end - 1]) if span.end <= len(starts) else span


def _made(part: str) -> str:
    """What cleaning makes of a part of a text that does not end there."""
    return clean(f"x{part}x")[1:-1]
