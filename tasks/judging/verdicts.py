"""Verdicts on disk: which of two answers to a row is better, a file for each reader, model or person."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, Literal, NamedTuple

from tasks.errors import AnnealError
from tasks.files import read_jsonl, write_jsonl


class Reader(NamedTuple):
    """Who read: a model, by its name at the endpoint, or a person."""

    kind: Literal["model", "person"]
    name: str


class Verdict(NamedTuple):
    """A comparison of two answers to a row, named by `key`; `best` is the place of the better one, None for a tie."""

    row: str
    answers: tuple[str, str]
    best: int | None


class Reading(NamedTuple):
    """What one reader thinks."""

    reader: Reader
    verdicts: tuple[Verdict, ...]


def key(text: str) -> str:
    """The name of an answer in verdicts: they fit only the very text that was read."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def file_of(folder: Path, reader: Reader) -> Path:
    """The file of a reader's verdicts."""
    slug = re.sub(r"[^a-z0-9]+", "-", reader.name.lower()).strip("-")[:60]
    digest = hashlib.sha256(reader.name.encode()).hexdigest()[:6]
    return folder / f"{reader.kind}-{slug or 'reader'}-{digest}.jsonl"


def write(folder: Path, reading: Reading) -> Path:
    """Write a reader's verdicts to `folder`, in place of earlier ones; returns the file."""
    path = file_of(folder, reading.reader)
    rows = [{**verdict._asdict(), "reader": reading.reader._asdict()} for verdict in reading.verdicts]
    write_jsonl(path, rows)
    return path


def read(folder: Path) -> list[Reading]:
    """The readings in `folder`; AnnealError if there are none."""
    readings = []
    for path in sorted(folder.glob("*.jsonl")):
        rows = read_jsonl(path)
        if rows:
            verdicts = tuple(Verdict(row["row"], (row["answers"][0], row["answers"][1]), row["best"]) for row in rows)
            readings.append(Reading(Reader(**rows[0]["reader"]), verdicts))
    if not readings:
        raise AnnealError(f"{folder} holds no verdicts: run `make judge` or `make sheet` and `make sheet-in`.")
    return readings


def of_reader(folder: Path, reader: Reader) -> Reading | None:
    """What `reader` thought before, if there is anything."""
    path = file_of(folder, reader)
    return next((reading for reading in read(folder) if reading.reader == reader), None) if path.exists() else None


def agreement(first: Reading, second: Reading) -> str:
    """How far two readings agree, in words."""
    facts = _agreement(first, second)
    return f"{facts['equal'] or 0:.0%} of {facts['comparisons']} comparisons"


def facts(readings: Sequence[Reading]) -> dict[str, Any]:
    """Who compared, how often a tie was seen, and how far any two readers agree on what both compared.

    Cohen's kappa (Cohen 1960) over better, worse and tie: 1 is full agreement, 0 that of chance. Readers are counted
    apart as models and people: a model that is asked twice is one reader, and no model is called a person.
    """
    return {
        "readers": [
            {
                **reading.reader._asdict(),
                "verdicts": len(reading.verdicts),
                "ties": sum(verdict.best is None for verdict in reading.verdicts),
            }
            for reading in readings
        ],
        "models": sum(reading.reader.kind == "model" for reading in readings),
        "people": sum(reading.reader.kind == "person" for reading in readings),
        "agreement": [_agreement(a, b) for a, b in combinations(readings, 2)],
    }


def _agreement(first: Reading, second: Reading) -> dict[str, Any]:
    """How far two readers agree: the share of equal verdicts, and kappa, None where it is not defined."""
    a, b = _by_pair(first), _by_pair(second)
    both = sorted(a.keys() & b.keys())
    pairs = [(a[pair], b[pair]) for pair in both]
    equal = sum(x == y for x, y in pairs) / len(pairs) if pairs else None
    return {
        "between": [f"{reading.reader.kind} {reading.reader.name}" for reading in (first, second)],
        "comparisons": len(pairs),
        "equal": equal,
        "kappa": kappa(pairs),
    }


def kappa(pairs: Sequence[tuple[str, str]]) -> float | None:
    """Cohen's kappa of two readers' verdicts; None if there are none, or if all of both are the same one."""
    if not pairs or len({verdict for pair in pairs for verdict in pair}) < 2:
        return None
    from sklearn.metrics import cohen_kappa_score

    first, second = zip(*pairs, strict=True)
    return float(cohen_kappa_score(first, second))


def _by_pair(reading: Reading) -> Mapping[tuple[str, str, str], str]:
    """{row and both answers in alphabetical order: the better one, or "tie"}."""
    return {
        (verdict.row, *sorted(verdict.answers)): "tie"  # type: ignore[misc]
        if verdict.best is None
        else ("first" if verdict.answers[verdict.best] == min(verdict.answers) else "second")
        for verdict in reading.verdicts
    }
