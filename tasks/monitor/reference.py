"""The reference of a version: its training and evaluation rows and its answers in the evaluation, reduced to what the
monitor compares.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NotRequired, TypedDict, cast

from tasks.dataset import answered
from tasks.dataset.prepared import splits
from tasks.dialogues.chat import opening
from tasks.files import read_json, read_jsonl, write_json, write_jsonl
from tasks.formats.answer import TEXT, AnswerFormat, format_in, right_answer
from tasks.records.database_rows import Input, Probabilities
from tasks.texts.template import columns as template_columns


class ReferenceRow(TypedDict):
    """A row that the version was trained or evaluated on: its input and its right answer, by column."""

    id: str
    split: str
    input: Input
    answer: dict[str, str]


class TestAnswer(TypedDict):
    """An answer of the evaluation, with probabilities if the version predicts classes."""

    id: str
    text: str
    answer: str  # the right one
    row: dict[str, str]
    probabilities: NotRequired[Probabilities]


@dataclass(frozen=True)
class Reference:
    """The reference as `write_reference` wrote it, and the template of the version: `format.json`."""

    rows: list[ReferenceRow]
    predictions: list[TestAnswer]
    classes: dict[str, list[str]]
    template: dict[str, Any]  # {system, user, answer}, and what the version's kind adds

    @cached_property
    def form(self) -> AnswerFormat:
        """The format of the version's answers."""
        return format_in(self.template)

    @cached_property
    def labels(self) -> dict[str, list[str]]:
        """The classes of each label in the answers."""
        return {label: classes for label, classes in self.classes.items() if label in self.form.columns}


def write_reference(prepared: Path, evaluate: Path, labels: list[str], limit: int, out: Path) -> None:
    """Write `out/rows.jsonl`, `out/predictions.jsonl` and `out/classes.json`: at most `limit` rows each, chosen by the
    hash of their ids.

    `prepared` and `evaluate` are the folders of those stages, `labels` the columns whose classes are known.
    """
    template = read_json(prepared / "format.json")
    columns, form = template_columns(template["user"]), format_in(template)
    every = [(split, row) for split, of_split in splits(prepared).items() for row in of_split]
    rows: list[ReferenceRow] = []
    for place in sample([row["id"] for _, row in every], limit):
        split, row = every[place]
        cells = row["row"] if row["messages"] else {TEXT: opening(row["answer"])}
        request = {column: cells.get(column, "") for column in columns}
        rows.append({"id": row["id"], "split": split, "input": request, "answer": right_answer(form, row)})
    write_jsonl(out / "rows.jsonl", rows)
    answers = answered.read(evaluate)
    places = sample([row["id"] for row in answers], limit)
    predictions = [cast(dict[str, object], answers[place]) for place in places]
    kept = ("id", "text", "answer", "row", "probabilities")
    write_jsonl(out / answered.FILE, [{key: row[key] for key in kept if key in row} for row in predictions])
    write_json(
        out / "classes.json",
        {label: sorted({row["row"][label] for _, row in every if label in row["row"]}) for label in labels},
    )


def read_reference(folder: Path) -> Reference | None:
    """Return the reference of the version whose served copy is `folder`; None if it was registered without one.

    Personal data are redacted as in the records: the placeholders must not look like new words.
    """
    from tasks.texts.redaction import redact_all
    from tasks.texts.redaction.answers import redact_text

    place = folder / "reference"
    if not all((place / name).exists() for name in ("rows.jsonl", answered.FILE, "classes.json")):
        return None
    template = read_json(folder / "format.json")
    kept = read_jsonl(place / "rows.jsonl")
    rows = cast(list[ReferenceRow], [{**row, "input": redact_all(row["input"])} for row in kept])
    for row in rows:
        if isinstance(row["answer"], str):  # as older versions kept an answer that is a text
            row["answer"] = right_answer(format_in(template), {**row, "row": {}})
    calls_tools = bool(template.get("tools"))
    predictions = [{**row, "text": redact_text(row["text"], calls_tools)} for row in answered.read(place)]
    return Reference(rows, cast(list[TestAnswer], predictions), read_json(place / "classes.json"), template)


def sample(ids: Sequence[str], limit: int) -> Sequence[int]:
    """Return the indices of at most `limit` rows, in order: those whose `ids` have the smallest hashes, so that one
    more row changes at most one.
    """
    if len(ids) <= limit:
        return range(len(ids))
    return sorted(sorted(range(len(ids)), key=lambda i: digest(ids[i]))[:limit])


def digest(text: object) -> int:
    """Return 64 pseudo-random bits that depend only on `text`."""
    return int.from_bytes(hashlib.sha256(str(text).encode()).digest()[:8], "big")
