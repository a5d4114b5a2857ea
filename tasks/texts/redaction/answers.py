"""Redacts an answer for the records: a text, or tool calls."""

from collections.abc import Mapping, Sequence
from typing import Any

from tasks.formats import tools
from tasks.texts.redaction import redact, redact_all

Calls = Sequence[Mapping[str, Any]]


def redact_answer(answer: str | Calls) -> str:
    """`answer` redacted; calls become their canonical JSON, in which each value is redacted by itself: a card's number
    that stands in JSON as a number would leave a text that is no JSON.
    """
    if isinstance(answer, str):
        return redact(answer)
    return tools.canonical([{key: redact_all(call[key]) for key in ("name", "arguments")} for call in answer])


def redact_text(text: str, calls_tools: bool) -> str:
    """`redact_answer` of a text that may be calls where `calls_tools`."""
    try:
        calls = tools.read(text) if calls_tools else None
    except tools.MalformedCallError:
        calls = None
    return redact_answer(text if calls is None else calls)
