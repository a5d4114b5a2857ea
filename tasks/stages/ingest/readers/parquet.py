"""Parquet."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from tasks.stages.ingest.arrow_rows import open_file, rows_of
from tasks.stages.ingest.params import Ingest

ENDINGS = (".parquet", ".pq")
UNIT = "row"
IS_TYPED_JSON, IS_DOCUMENTS, IS_ADDED_TO = False, False, False
HAS_HEADER = False


def read(path: Path, params: Ingest) -> Iterator[tuple[int, Mapping[str, object]]]:
    """(number, row) of each row, a batch in memory at a time."""
    from pyarrow.parquet import ParquetFile

    with open_file(path, "Parquet") as source:
        file = ParquetFile(source)
        yield from rows_of(file.schema_arrow, file.iter_batches(batch_size=1000), path)
