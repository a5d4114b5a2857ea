"""Rows that say how sure an answer may be: how often a model's own sampled answers to a row were right, in words (as in
Lin et al. 2022, arXiv:2205.14334, where it is the accuracy on questions of a kind).

The rows are those of the samples with one more column, so that the same templates make them into prompts and answers.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypedDict

from tasks.dataset.rows import prompt
from tasks.dataset.sampled import Sampled
from tasks.errors import AnnealError
from tasks.files import whole_directory, write_json, write_jsonl
from tasks.formats.answer import AnswerFormat, agrees, right_answer
from tasks.texts.clean import folded

COLUMN = "confidence"
LEVELS = {"low": 0.25, "medium": 0.6, "high": 0.95}
FILE, FACTS = "rows.jsonl", "facts.json"


class Facts(TypedDict):
    """What the rows came to: of each word how many, and how many rows the model had been `trained` on."""

    rows: int
    trained: int
    right: float
    words: dict[str, int]


def labelled(
    rows: Sequence[Sampled], form: AnswerFormat, about: Sequence[str], levels: Mapping[str, float] = LEVELS
) -> list[dict[str, str]]:
    """The columns of each row, and in COLUMN the word whose probability is nearest to the share of right answers; of
    two equally near ones the less sure. Right is an answer whose columns `about` are; without any, all columns.

    Raises AnnealError where rows have that column already.
    """
    return [{"id": str(row["id"]), **_columns(row), COLUMN: word(share(row, form, about), levels)} for row in rows]


def share(row: Sampled, form: AnswerFormat, about: Sequence[str]) -> float:
    """The share of a row's sampled answers that are right."""
    right = right_answer(form, row)
    return sum(agrees(form.read(each["text"]), right, about, form) for each in row["answers"]) / len(row["answers"])


def word(right: float, levels: Mapping[str, float]) -> str:
    """The word whose probability is nearest."""
    return min(levels, key=lambda name: (abs(levels[name] - right), levels[name]))


def _columns(row: Sampled) -> dict[str, str]:
    if COLUMN in row["row"]:
        raise AnnealError(f"the rows have a column `{COLUMN}` already: rename it where they come from.")
    return row["row"]


def write(
    folder: Path, rows: Sequence[Sampled], form: AnswerFormat, about: Sequence[str], trained_on: frozenset[str]
) -> Facts:
    """Write `folder/rows.jsonl`, a source for `ingest`, and `folder/facts.json`; `trained_on` are the prompts that the
    model knows (folded), of whose answers it is surer than of new ones.
    """
    told = labelled(rows, form, about)
    counts = Counter(row[COLUMN] for row in told)
    facts: Facts = {
        "rows": len(rows),
        "trained": sum(folded(prompt(row)) in trained_on for row in rows),
        "right": sum(share(row, form, about) for row in rows) / len(rows),
        "words": {name: counts[name] for name in LEVELS},
    }
    with whole_directory(folder) as fresh:
        write_jsonl(fresh / FILE, told)
        write_json(fresh / FACTS, facts)
    return facts
