"""A blind sheet for people: two answers a row, in places drawn by a seed, and no word of who wrote them.

What the places stand for is in a file of its own, which the reader does not need.
"""

import csv
import hashlib
import io
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypedDict

from tasks.errors import AnnealError, listed, unusable
from tasks.files import read_json, write_json, write_text
from tasks.judging.comparisons import Comparison
from tasks.judging.verdicts import Reader, Reading, Verdict
from tasks.stages.ingest.encoding import text_of

COLUMNS = ("number", "request", "answer 1", "answer 2", "better")
CHOICES: dict[str, int | None] = {"1": 0, "2": 1, "tie": None, "=": None, "0": None, "same": None}
FORMULA = ("=", "+", "-", "@", "\t")  # a cell that begins so is run by spreadsheets


class Entry(TypedDict):
    """What a row of a sheet stands for."""

    row: str
    answers: list[str]


class Key(TypedDict):
    """The file beside a sheet: what was written by whom, and what each number stands for."""

    wrote: str
    entries: dict[str, Entry]


class Filled(NamedTuple):
    """A sheet that came back: its verdicts, and how many rows were left open."""

    reading: Reading
    left_open: int


def key_file(sheet: Path) -> Path:
    """The key of a sheet."""
    return sheet.with_suffix(".key.json")


def write(sheet: Path, comparisons: Sequence[Comparison], seed: int, wrote: str) -> None:
    """Write a sheet (CSV, for any spreadsheet) and its key; `wrote` names the model whose answers they are."""
    lot = random.Random(hashlib.sha256(f"sheet\n{seed}".encode()).digest())
    order = lot.sample(list(comparisons), len(comparisons))
    rows, entries = [], dict[str, Entry]()
    for number, comparison in enumerate(order, 1):
        first, second = lot.sample([0, 1], 2)
        texts, names = (comparison.first, comparison.second), comparison.answers
        rows.append([str(number), comparison.prompt, texts[first], texts[second], ""])
        entries[str(number)] = {"row": comparison.row, "answers": [names[first], names[second]]}
    text = io.StringIO()
    csv.writer(text).writerows([list(COLUMNS), *([_plain(cell) for cell in row] for row in rows)])
    write_text(sheet, "\ufeff" + text.getvalue())  # the mark tells spreadsheets that it is UTF-8
    write_json(key_file(sheet), {"wrote": wrote, "entries": entries})


def _plain(cell: str) -> str:
    return f"'{cell}" if cell.startswith(FORMULA) else cell


def read(file: Path, key: Path, reader: Reader) -> Filled:
    """The verdicts in a sheet that `reader` filled in; AnnealError names the row and what is wrong with it."""
    entries: Mapping[str, Entry] = read_json(key)["entries"]
    verdicts, seen, left_open = list[Verdict](), set[str](), 0
    for line, row in _rows(file):
        number, word = (row[column].strip().strip("'").lower() for column in ("number", "better"))
        if number not in entries:
            raise AnnealError(f"{file}, line {line}: there is no number {number!r} in {key}; is it another sheet?")
        if number in seen:
            raise AnnealError(f"{file}, line {line}: number {number} is there twice; keep one of them.")
        seen.add(number)
        if not word:
            left_open += 1
            continue
        if word not in CHOICES:
            raise AnnealError(f"{file}, line {line}: `better` is {word[:40]!r}; write 1, 2 or tie, or leave it empty.")
        entry = entries[number]
        verdicts.append(Verdict(entry["row"], (entry["answers"][0], entry["answers"][1]), CHOICES[word]))
    if not verdicts:
        raise AnnealError(f"{file} says nothing yet: write 1, 2 or tie into the column `better`.")
    return Filled(Reading(reader, tuple(verdicts)), left_open + len(entries.keys() - seen))


def _rows(file: Path) -> list[tuple[int, dict[str, str]]]:
    """(line, cells by column) of each row, whatever separates the cells."""
    try:
        text = text_of(file)
    except FileNotFoundError:
        raise AnnealError(f"FILE={file} does not exist; name the sheet that was filled in.") from None
    except OSError as error:
        raise AnnealError(unusable(error)) from None
    first = text.partition("\n")[0]
    separator = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    rows = [(reader.line_num, row) for row in reader]
    names = [name.strip().strip("\ufeff").lower() for name in rows[0][1]] if rows else []
    if missing := [name for name in ("number", "better") if name not in names]:
        raise AnnealError(f"{file} has no column {listed(missing)}: keep the first line of the sheet as it was.")
    return [(line, dict(zip(names, [*row, *[""] * len(names)], strict=False))) for line, row in rows[1:] if any(row)]
