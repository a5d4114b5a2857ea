"""Corrections of extracted answers: the position of the answer in its context, and the text of the question."""

import hashlib
from collections.abc import Mapping, Sequence

from tasks.formats.span_answer import places
from tasks.stages.prepare.labels import question
from tasks.texts.clean import folded


def with_start(row: dict[str, str], start: str | None) -> dict[str, str] | str:
    """Return `row` with the start of its answer in the context, or the reason why it is unknown."""
    text, starts = row["answer"], places(row["answer"], row["context"])
    if start is not None and text and row["context"].startswith(text, int(start)):
        return row | {"start": start}
    if text and len(starts) != 1:
        many = f"occurs {len(starts)} times in its context, and no start says which one is meant"
        return f"its answer {many if starts else 'does not occur in its context'}"
    return row


def question_text(row: Mapping[str, str], columns: Sequence[str], context: str | None) -> str:
    """Return what the person wrote, with a short hash in place of the `context`: with the full text, all questions
    about one context would look alike.
    """
    hashed = {context: hashlib.sha256(folded(row[context]).encode()).hexdigest()[:16]} if context else {}
    return question({**row, **hashed}, columns)
