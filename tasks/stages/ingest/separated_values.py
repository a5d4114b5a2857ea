"""Reads tables of separated cells (CSV and similar), with the separator detected from the header.

The standard library's reader is not used: it cannot name the line of a quote that is never closed, takes blanks before
a quote for content, and limits the length of a cell for the whole process.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import islice
from pathlib import Path

from tasks.errors import AnnealError
from tasks.stages.ingest import headless
from tasks.texts.clean import clean

SEPARATORS = headless.SEPARATORS
ID = "id"
SEPARATOR_LINE = re.compile(
    r'\s*"?sep=(\\t|[^\r\n])"?[ \t]*(?:\r\n|\r|\n|$)', re.IGNORECASE
)  # what Excel writes and reads
LINE_END = re.compile("\r\n|\r|\n")
UNNAMED = re.compile(r"\(column \d+\)")  # the name of a column with a blank header

Record = tuple[int, list[str]]


def read_table(
    text: str, path: Path, columns: Sequence[str] | None, usual: str, has_header: bool | None = None
) -> Iterator[tuple[int, dict[str, str]]]:
    """(line where it begins, row) of each row of a table; `usual` is the separator where the header has none.

    Without a header `columns` names the cells of each row; None is a table whose first row is a header, unless it looks
    like data. Raises AnnealError naming the line of a row with a different number of cells, of a quote that is never
    closed, of a header that names a column twice or looks like data, and when the separator is not told.
    """
    start, line, separator = 0, 1, None
    if match := SEPARATOR_LINE.match(text):
        start, line, separator = match.end(), 1 + _line_ends(match[0]), match[1].replace("\\t", "\t")
    if has_header is False:
        header = [clean(column) for column in columns or ()]
        separator = separator or headless.separator(_candidates(text, path, usual), len(header), path)
        rows = _records(text, separator, path, start, line, usual)
    else:
        detected = separator or _separator(text, path, columns, usual)
        separator = detected if isinstance(detected, str) else usual
        rows = _records(text, separator, path, start, line, usual)
        line, cells = _first(rows)
        where = f"{path}, line {line}"
        if has_header is None and not {*(columns or [""])} <= {ID, *map(clean, cells)}:
            headless.refuse_data(cells, _beginning(text, separator, path, usual, start), where)
        if isinstance(detected, AnnealError):
            raise detected
        header = _header(cells, where)
        _refuse_missing(header, columns, cells, where)
    for line, cells in rows:
        if len(cells) == 1 < len(header) and not cells[0].strip():
            continue  # a line of blanks
        if len(cells) != len(header):
            than = "than ingest.columns names" if has_header is False else "than the header"
            raise AnnealError(
                f"{path}, line {line}: has a different number of cells {than} ({len(cells)}, not {len(header)}, "
                f"between {SEPARATORS.get(separator, repr(separator))}); fix the row."
            )
        yield line, dict(zip(header, cells, strict=True))


def _refuse_missing(header: Sequence[str], columns: Sequence[str] | None, cells: Sequence[str], where: str) -> None:
    if missing := [column for column in columns or () if column not in header and column != ID and cells]:
        raise AnnealError(
            f"{where}: the header has no `{missing[0]}` (it has: {', '.join(header)}); add it, or correct "
            "ingest.columns in params.yaml."
        )


def _beginning(text: str, separator: str, path: Path, usual: str, start: int = 0) -> list[list[str]]:
    """The cells of the first records as far as they can be read; AnnealError where the first cannot."""
    records: list[list[str]] = []
    try:
        records += (cells for _, cells in islice(_records(text, separator, path, start, 1, usual), headless.SEEN))
    except AnnealError:
        if not records:
            raise
    return [cells for cells in records if any(cell.strip() for cell in cells)]


def _candidates(text: str, path: Path, usual: str) -> dict[str, list[list[str]] | AnnealError]:
    """The first records as read with each separator, the usual one first."""
    read: dict[str, list[list[str]] | AnnealError] = {}
    for separator in (usual, *(other for other in SEPARATORS if other != usual)):
        try:
            read[separator] = _beginning(text, separator, path, usual)
        except AnnealError as error:
            read[separator] = error
    return read


def _first(rows: Iterator[Record]) -> Record:
    """The first record with a cell that is not blank."""
    return next(((line, cells) for line, cells in rows if any(cell.strip() for cell in cells)), (1, []))


def _header(cells: list[str], where: str) -> list[str]:
    names = [clean(cell) or f"(column {place})" for place, cell in enumerate(cells, 1)]
    name, count = Counter(names).most_common(1)[0] if names else ("", 0)
    if count > 1:
        raise AnnealError(f"{where}: the header has `{name}` {count} times; rename all but one.")
    return names


def _separator(text: str, path: Path, columns: Sequence[str] | None, usual: str) -> str | AnnealError:
    """The separator with which the header has the named columns, or any if none are named; if several do so
    differently, an error that asks which.
    """
    headers: dict[str, list[str]] = {}
    trouble: AnnealError | None = None
    for separator in (usual, *(other for other in SEPARATORS if other != usual)):
        try:
            headers[separator] = [clean(cell) for cell in _first(_records(text, separator, path, 0, 1, usual))[1]]
        except AnnealError as error:
            trouble = trouble or error
    if trouble and not headers:
        raise trouble
    named = {column for column in columns or () if column != "id"}
    if named:
        fitting = [separator for separator, header in headers.items() if named <= set(header)]
    else:
        fitting = [separator for separator, header in headers.items() if len(header) > 1]
    if not fitting:  # a single column; or names that are not there, and then the sentence shows most of what is
        return max(headers, key=lambda separator: len(headers[separator])) if named else usual
    if any(headers[separator] != headers[fitting[0]] for separator in fitting):
        names = " or ".join(SEPARATORS[separator] for separator in fitting)
        return AnnealError(
            f"{path}: its header can be read with {names} between the columns; say which in a first line, for example "
            f"`sep={fitting[0]}`."
        )
    return fitting[0]


def _records(text: str, separator: str, path: Path, position: int, line: int, usual: str) -> Iterator[Record]:
    """(line where it begins, cells) of each record that is not an empty line; `usual` is the file's usual separator."""
    ends = LINE_END.search(text, len(text) - len(text.lstrip()))
    plain, quoted = _patterns(separator, ends is None or ends[0] != "\r")
    cells: list[str] = []
    first, is_empty = line, True
    while position < len(text) or cells:
        match = quoted.match(text, position)
        if match and not (separator == usual == "\t" and _is_text(match, text)):
            cells.append(_unquoted(match, text, separator, f"{path}, line {line}"))
            line, position, is_empty = line + _line_ends(match[0]), match.end(), False
        elif match := plain.match(text, position):  # always: it matches nothing at all, too
            cells.append(match[0])
            position, is_empty = match.end(), is_empty and not match[0]
        if text.startswith(separator, position):
            position, is_empty = position + 1, False
            continue
        if not is_empty:
            yield first, cells
        position += 2 if text.startswith("\r\n", position) else 1
        line += 1
        first, cells, is_empty = line, [], True


def _is_text(match: re.Match[str], text: str) -> bool:
    """Whether a quote at the beginning of a cell between tabs is part of the text, since many TSV files have no
    quoting: it does not close at the end of a cell, or only after tabs and line ends.
    """
    after = text[match.end() : match.end() + 1]
    return not match["close"] or after not in ("", "\t", "\r", "\n") or ("\t" in match[0] and "\n" in match[0])


def _unquoted(match: re.Match[str], text: str, separator: str, where: str) -> str:
    if not match["close"]:
        raise AnnealError(
            f'{where}: not valid CSV (a quote that opens here is never closed); close it, or write "" for a quote in '
            "a text."
        )
    if match.end() < len(text) and text[match.end()] not in (separator, "\r", "\n"):
        after = text[match.end() : match.end() + 20].splitlines()[0]
        raise AnnealError(
            f"{where}: not valid CSV (the quote that closes the cell which begins here is followed by {after!r}); "
            "write "
            '"" for a quote in a text.'
        )
    return match["text"].replace('""', '"')


@lru_cache
def _patterns(separator: str, may_hold_cr: bool) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """(a cell without quotes, a cell in quotes with the blanks around them).

    `may_hold_cr`: lines end otherwise, so a carriage return alone is a character of a cell.
    """
    blank = "[ ]*+" if separator == "\t" else "[ \t]*+"
    plain = rf"[^{re.escape(separator)}\r\n]"
    return (
        re.compile(rf"(?:{plain}|\r(?!\n))*+" if may_hold_cr else f"{plain}*+"),
        re.compile(rf'{blank}"(?P<text>(?:[^"]++|"")*+)(?P<close>"?){blank}'),
    )


def _line_ends(text: str) -> int:
    return text.count("\n") + text.count("\r") - text.count("\r\n")
