"""The result of an extractive version: where the answer is in the text as the client sent it, and its probability."""

from collections.abc import Mapping

import regex

from tasks.formats import spans
from tasks.formats.contract import Contract
from tasks.texts.clean import clean

CHARACTER = regex.compile(r"\X")  # as a reader counts them


def result(contract: Contract, content: object, text: str, probability: float) -> dict[str, object]:
    """`{answer, start, end, probability}` of a valid answer; the places are None where it is empty."""
    span = spans.span_of(text)
    context = content.get(contract.context) if isinstance(content, Mapping) else None
    if span is not None and isinstance(context, str):
        span = as_sent(context, span)
    start, end = span or (None, None)
    answer = (spans.read(text) or {}).get("answer")
    return {"answer": answer, "start": start, "end": end, "probability": probability}


def as_sent(raw: str, span: spans.Span) -> spans.Span:
    """A `span` of the cleaned text as one of the `raw` text: cleaning removes and joins characters."""
    cleaned, starts, ends = clean(raw), list[int](), list[int]()
    for match in CHARACTER.finditer(raw):
        is_whole = cleaned.startswith(_cleaned(match.group()), len(starts))
        for start, end in [match.span()] if is_whole else ((i, i + 1) for i in range(*match.span())):
            part = _cleaned(raw[start:end])
            if cleaned.startswith(part, len(starts)):  # else it was a blank at an end
                starts += [start] * len(part)
                ends += [end] * len(part)
    return spans.Span(starts[span.start], ends[span.end - 1]) if span.end <= len(starts) else span


def _cleaned(part: str) -> str:
    """The cleaned `part`, taken from inside a text."""
    return clean(f"x{part}x")[1:-1]
