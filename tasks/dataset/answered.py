"""Rows answered by a model, as stored on disk: the prompt, the right answer, and the `text` it generated."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import cast

from tasks.dataset.rows import Answer, Answered, Row
from tasks.files import read_jsonl, write_json, write_jsonl

FILE = "predictions.jsonl"  # in a folder of answers, and among the files of a registered version
TIMING = "timing.json"  # beside it: `seconds_per_answer`, and facts about how the answers were generated


def row_of(row: Row) -> Row:
    """The part of a prepared row that an answered one keeps: all that is needed to answer it again."""
    return cast(Row, {name: row.get(name) for name in Row.__annotations__ if name in row})


def with_answer(row: Row, answer: Answer) -> Answered:
    """`row` with a model's answer."""
    return cast(Answered, {**row_of(row), **answer})


def write(folder: Path, rows: Iterable[Mapping[str, object]], timing: Mapping[str, object]) -> None:
    """Write answered `rows` and their `timing` to `folder`."""
    write_jsonl(folder / FILE, rows)
    write_json(folder / TIMING, timing)


def read(folder: Path) -> list[Answered]:
    """The answered rows in `folder`. Files of older versions, which the registry keeps, call the right answer
    `expected`.
    """
    return [_with_current_key(row) for row in read_jsonl(folder / FILE)]


def _with_current_key(row: dict[str, object]) -> Answered:
    return cast(Answered, {"answer": row.pop("expected"), **row} if "expected" in row else row)
