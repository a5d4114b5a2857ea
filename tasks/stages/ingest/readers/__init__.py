"""Readers of formats: one module each, named as in `ingest.format` and found by listing the folder.

A new format is one file here and a test. It defines its ENDINGS, the UNIT in which rows are counted (line, row), and
`read`.
"""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Protocol, cast

from tasks import kinds
from tasks.stages.ingest.params import FORMATS, Ingest

COMPRESSED = (".gz", ".zst")


class Reader(Protocol):
    """A module of this folder."""

    ENDINGS: tuple[str, ...]
    UNIT: str
    IS_TYPED_JSON: bool  # cells are JSON values; otherwise ingest.json_columns hold JSON as text
    IS_DOCUMENTS: bool  # files may also be documents beside data, like a README: read only if there is no data
    IS_ADDED_TO: bool  # harvested rows may be written as one more file of this format
    HAS_HEADER: bool  # its first row names the columns, unless ingest.header is false

    def read(self, path: Path, params: Ingest) -> Iterator[tuple[int, Mapping[str, object]]]:
        """(number of its unit, row) of each row of the file; AnnealError with that number for what is broken."""


def reader(name: str) -> Reader:
    """The reader of the format `name`."""
    return cast(Reader, kinds.load(FORMATS, name))


@lru_cache
def endings() -> dict[str, str]:
    """ending: format."""
    return {ending: name for name in kinds.names(FORMATS) for ending in reader(name).ENDINGS}


def format_of(path: Path) -> str | None:
    """The format that a file's extension implies, compression aside; None if it implies none."""
    name = Path(path.name.lower())
    return endings().get(Path(name.stem).suffix if name.suffix in COMPRESSED else name.suffix)


def name_of(path: Path, params: Ingest) -> str:
    """The format that a file is read as; a folder is one of images."""
    return "images" if path.is_dir() else params.format or format_of(path) or "jsonl"
