"""Tables separated by commas, semicolons, tabs or bars, detected from the header."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from tasks.stages.ingest.encoding import text_of
from tasks.stages.ingest.params import Ingest
from tasks.stages.ingest.readers import format_of
from tasks.stages.ingest.separated_values import read_table

ENDINGS = (".csv",)
UNIT = "line"
IS_TYPED_JSON, IS_DOCUMENTS, IS_ADDED_TO = False, False, True
HAS_HEADER = True


def read(path: Path, params: Ingest) -> Iterator[tuple[int, Mapping[str, object]]]:
    """(line where it begins, row) of each row below the header; a file that is called .tsv has tabs, by default."""
    usual = "\t" if format_of(path) == "tsv" else ","
    yield from read_table(text_of(path), path, params.columns, usual, params.header)
