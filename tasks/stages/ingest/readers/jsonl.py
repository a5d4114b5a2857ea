"""JSON lines: one object per line, objects over several lines, or one array of objects."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from tasks.stages.ingest.encoding import text_of
from tasks.stages.ingest.json_rows import read_json
from tasks.stages.ingest.params import Ingest

ENDINGS = (".jsonl", ".ndjson")
UNIT = "line"
IS_TYPED_JSON, IS_DOCUMENTS, IS_ADDED_TO = True, False, True
HAS_HEADER = False


def read(path: Path, params: Ingest) -> Iterator[tuple[int, Mapping[str, object]]]:
    """(line where it begins, row) of each object."""
    yield from read_json(text_of(path), path)
