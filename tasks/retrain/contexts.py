"""Corrections of extracted answers: their position in the context, and their question."""

import hashlib
from collections.abc import Mapping, Sequence

from tasks.formats.span_answer import places
from tasks.stages.prepare.labels import question
from tasks.texts.clean import folded


def placed(row: dict[str, str], start: str | None) -> dict[str, str] | str:
    """`row` with the place of its answer in its context, or why that cannot be told."""
    text, known = row["answer"], places(row["answer"], row["context"])
    if start is not None and text and row["context"].startswith(text, int(start)):
        return row | {"start": start}
    if text and len(known) != 1:
        many = f"occurs {len(known)} times in its context, and no start says which one is meant"
        return f"its answer {many if known else 'does not occur in its context'}"
    return row


def asked(row: Mapping[str, str], columns: Sequence[str], context: str | None) -> str:
    """What the person wrote, with a short hash in place of the `context`: by their long texts all questions about one
    would look alike.
    """
    hashed = {context: hashlib.sha256(folded(row[context]).encode()).hexdigest()[:16]} if context else {}
    return question({**row, **hashed}, columns)
