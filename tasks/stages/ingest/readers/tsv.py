"""Tables separated by tabs, or by what the header implies."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from tasks.stages.ingest.encoding import text_of
from tasks.stages.ingest.params import Ingest
from tasks.stages.ingest.separated_values import read_table

ENDINGS = (".tsv", ".tab")
UNIT = "line"
IS_TYPED_JSON, IS_DOCUMENTS, IS_ADDED_TO = False, False, True
HAS_HEADER = True


def read(path: Path, params: Ingest) -> Iterator[tuple[int, Mapping[str, object]]]:
    """(line where it begins, row) of each row below the header."""
    yield from read_table(text_of(path), path, params.columns, "\t", params.header)
