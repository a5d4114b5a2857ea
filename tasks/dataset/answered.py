"""Rows that a model has answered, as stored on disk: the prompt, the right answer, and the `text` it generated."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import cast

from tasks.dataset.rows import Answer, Answered, Row
from tasks.files import read_jsonl, write_json, write_jsonl

FILE = "predictions.jsonl"  # of a folder of answers, and of what the registry keeps of a version
TIMING = "timing.json"  # beside it: `seconds_per_answer`, and facts about how they were made


def row_of(row: Row) -> Row:
    """What an answered row keeps of the prepared one; whoever answers it again needs no more."""
    return cast(Row, {name: row.get(name) for name in Row.__annotations__ if name in row})


def with_answer(row: Row, answer: Answer) -> Answered:
    """`row` with a model's reply to it."""
    return cast(Answered, {**row_of(row), **answer})


def write(folder: Path, rows: Iterable[Mapping[str, object]], timing: Mapping[str, object]) -> None:
    """Put answered `rows` into `folder`, with their `timing`."""
    write_jsonl(folder / FILE, rows)
    write_json(folder / TIMING, timing)


def read(folder: Path) -> list[Answered]:
    """The answered rows in `folder`. What older versions of Anneal wrote, and the registry keeps, calls the right
    answer `expected`.
    """
    return [_as_now(row) for row in read_jsonl(folder / FILE)]


def _as_now(row: dict[str, object]) -> Answered:
    return cast(Answered, {"answer": row.pop("expected"), **row} if "expected" in row else row)
