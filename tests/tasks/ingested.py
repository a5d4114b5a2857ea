"""Files as people write them, and what ingest reads from them or says of them."""

import csv
import io
from pathlib import Path

import pytest
from hypothesis import strategies as st

from tasks.errors import AnnealError
from tasks.files import read_jsonl
from tasks.stages.ingest import Ingest
from tasks.stages.ingest.__main__ import ingest

TABLE = [("subject", "body"), ("Late", "It is late."), ("Dark", "The lamp, again; it | is dark.")]


def rows(folder: Path, name: str, content: bytes | str, **params: object) -> list[tuple[str, ...]]:
    """The values of the rows of a file, without ids."""
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    ingest(Ingest(**{"source": str(folder / name), "columns": ["subject", "body"]} | params), folder / "raw")
    return [tuple(value for key, value in row.items() if key != "id") for row in read_jsonl(folder / "raw/rows.jsonl")]


def refused(folder: Path, name: str, content: bytes | str, **params: object) -> str:
    """The sentence, without the folder."""
    with pytest.raises(AnnealError) as stopped:
        rows(folder, name, content, **params)
    assert not (folder / "raw").exists() and len(str(stopped.value).splitlines()) == 1
    return str(stopped.value).replace(f"{folder}/", "")


def table(
    separator: str, quoting: int = csv.QUOTE_MINIMAL, end: str = "\r\n", entries: list[tuple[str, ...]] = TABLE
) -> str:
    """`entries` as CSV."""
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=separator, quoting=quoting, lineterminator=end).writerows(entries)
    return text.getvalue()


cells = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(
    ['"', '""', ' "a"', ", ", ";", "|", "\t", "\r", "\r\n", " ", "sep=;", "\ufeff", "\x00"]
)
