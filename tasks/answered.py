"""Rows that a model has answered, as they lie on disk: what it was asked, the right answer, and the `text` it wrote."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tasks.files import read_jsonl

FILE = "predictions.jsonl"  # of a folder of answers, and of what the registry keeps of a version
ASKED = ("id", "messages", "answer", "row", "tools", "calls", "given", "rest")  # the last two: chat.GIVEN, chat.REST


def asked(row: Mapping[str, Any]) -> dict[str, Any]:
    """What an answered row keeps of the prepared one; whoever answers it again needs no more."""
    return {name: row[name] for name in ASKED if name in row}


def read(folder: Path) -> list[dict[str, Any]]:
    """The answered rows in `folder`. What older versions of Anneal wrote, and the registry keeps, calls the right
    answer `expected`.
    """
    return [{"answer": row.pop("expected"), **row} if "expected" in row else row for row in read_jsonl(folder / FILE)]
