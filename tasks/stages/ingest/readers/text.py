"""Text: a file is one row with the column `text`, or several, as ingest.split says; labelled lines also have a
label.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from tasks.errors import AnnealError
from tasks.stages.ingest.encoding import text_of
from tasks.stages.ingest.params import Ingest

ENDINGS = (".txt", ".md", ".markdown")
UNIT = "line"
IS_TYPED_JSON, IS_DOCUMENTS, IS_ADDED_TO = False, True, False
HAS_HEADER = False
FASTTEXT = "__label__"
LINE_END = re.compile("(?>\r\n|\r|\n)")
ENDS = {"lines": LINE_END, "labelled": LINE_END, "paragraphs": re.compile(r"(?>\r\n|\r|\n)(?:[ \t]*(?>\r\n|\r|\n))+")}


def read(path: Path, params: Ingest) -> Iterator[tuple[int, Mapping[str, object]]]:
    """(line where it begins, row) of each text that holds more than blanks.

    A whole file has its name as id. A part has none, so its id is made from its content: it stays the same row when the
    file grows.
    """
    text = text_of(path)
    if params.split not in ENDS:
        yield 1, {"id": path.name, "text": text}
        return
    start, line = 0, 1
    for end in [*ENDS[params.split].finditer(text), None]:
        part = text[start : end.start() if end else len(text)]
        if part.strip():
            where = line + _leading_lines(part)
            yield (
                where,
                _labelled(part.strip(), f"{path}, line {where}")
                if params.split == "labelled"
                else {"text": part.strip()},
            )
        line += len(LINE_END.findall(text, start, end.end() if end else len(text)))
        start = end.end() if end else start


def _labelled(line: str, where: str) -> dict[str, str]:
    """`{label, text}` of a line that begins with its label, as TREC's do, or fastText's (`__label__sports`)."""
    label, *text = line.split(maxsplit=1)
    if not text:
        raise AnnealError(
            f"{where}: has a single word ({label[:40]!r}), and with ingest.split: labelled a line is a label, a blank "
            "and a text; fix it, or split otherwise."
        )
    return {"label": label.removeprefix(FASTTEXT), "text": text[0]}


def _leading_lines(part: str) -> int:
    return len(LINE_END.findall(part[: len(part) - len(part.lstrip())]))
