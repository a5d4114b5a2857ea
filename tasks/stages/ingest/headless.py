"""Tables without a header: how to recognise one, and the separator that its rows imply."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from tasks.errors import AnnealError
from tasks.texts.clean import clean

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
SEEN = 50  # records at the beginning of a file
NUMBER = re.compile(r"[-+]?\d+([.,]\d+)?")
LONGEST = 60  # characters of a cell in a sentence


def separator(read: Mapping[str, list[list[str]] | AnnealError], count: int, path: Path) -> str:
    """The separator that makes `count` cells of each record at the beginning of a table: the first of those in `read`,
    which hold the records as each separator makes them, or the trouble with it.
    """
    fitting = {
        known: records
        for known, records in read.items()
        if not isinstance(records, AnnealError) and records and all(len(cells) == count for cells in records)
    }
    if fitting:
        first, cells_of_first = next(iter(fitting.items()))
        if first != "\t" and any(other != cells_of_first for other in fitting.values()):  # .tsv files are of tabs
            names = " or ".join(SEPARATORS[known] for known in fitting)
            raise AnnealError(
                f"{path}: its rows can be read with {names} between the cells; say which in a first line, for example "
                f"`sep={first}`."
            )
        return first
    usual, beginning = next(iter(read.items()))
    if isinstance(beginning, AnnealError):
        raise beginning
    for known, records in read.items():  # most rows are right: the reader names the line of the one that is not
        if not isinstance(records, AnnealError) and records and len(records[0]) == count:
            return known
    if beginning:
        raise AnnealError(
            f"{path}: ingest.header is false and ingest.columns names {count} cells, and the first row has "
            f"{len(beginning[0])} between {SEPARATORS[usual]}; name a column for each cell, in their order."
        )
    return usual


def refuse_data(header: Sequence[str], records: Sequence[Sequence[str]], where: str) -> None:
    """Raise AnnealError where a `header`, the first of `records`, looks like a row of data: a cell is a number as all
    below it are, or stands below itself again.
    """
    below = [cells for cells in records[1:] if len(cells) == len(header) and cells != header]  # which may be repeated
    for place, cell in enumerate(map(clean, header)):
        values = [clean(cells[place]) for cells in below]
        if cell and values and (cell in values or all(map(NUMBER.fullmatch, [cell, *values]))):
            raise AnnealError(
                f"{where}: the first row looks like data and not like a header (`{cell[:LONGEST]}` in column "
                f"{place + 1}); write ingest: {{header: false, columns: [{', '.join(_names([header, *below]))}]}}, "
                "with names for your columns, or header: true where it is a header."
            )


def _names(records: Sequence[Sequence[str]]) -> list[str]:
    """Suggested names for the columns of `records`: label for columns of few short values, text for others."""
    kinds = ["label" if _recurs([clean(cell) for cell in cells]) else "text" for cells in zip(*records, strict=True)]
    return [
        kind if kinds.count(kind) == 1 else f"{kind}_{kinds[: place + 1].count(kind)}"
        for place, kind in enumerate(kinds)
    ]


def _recurs(cells: Sequence[str]) -> bool:
    is_number = all(map(NUMBER.fullmatch, cells))
    return is_number or (3 * len(set(cells)) <= 2 * len(cells) and max(map(len, cells)) <= LONGEST)
