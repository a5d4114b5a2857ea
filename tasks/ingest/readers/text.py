"""Texts: a file is one row with the column `text`, or several, as ingest.split says."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from tasks.ingest.encoding import text_of
from tasks.ingest.params import Ingest

ENDINGS = (".txt", ".md", ".markdown")
UNIT = "line"
IS_TYPED_JSON, IS_DOCUMENTS, IS_ADDED_TO = False, True, False
HAS_HEADER = False
LINE_END = re.compile("(?>\r\n|\r|\n)")
ENDS = {"lines": LINE_END, "paragraphs": re.compile(r"(?>\r\n|\r|\n)(?:[ \t]*(?>\r\n|\r|\n))+")}


def read(path: Path, params: Ingest) -> Iterator[tuple[int, Mapping[str, object]]]:
    """(line where it begins, row) of each text that holds more than blanks.

    A whole file has its name as id. A part has none, and so gets one that is made from its words: it stays the same row
    when the file grows.
    """
    text = text_of(path)
    if params.split not in ENDS:
        yield 1, {"id": path.name, "text": text}
        return
    start, line = 0, 1
    for end in [*ENDS[params.split].finditer(text), None]:
        part = text[start : end.start() if end else len(text)]
        if part.strip():
            yield line + _leading_lines(part), {"text": part.strip()}
        line += len(LINE_END.findall(text, start, end.end() if end else len(text)))
        start = end.end() if end else start


def _leading_lines(part: str) -> int:
    return len(LINE_END.findall(part[: len(part) - len(part.lstrip())]))
