"""Arrow: files (Feather) and streams, as `datasets` saves them."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from tasks.stages.ingest.arrow_rows import open_file, rows_of
from tasks.stages.ingest.params import Ingest

ENDINGS = (".arrow", ".feather", ".ipc")
UNIT = "row"
IS_TYPED_JSON, IS_DOCUMENTS, IS_ADDED_TO = False, False, False
HAS_HEADER = False
FILE = b"ARROW1"  # a stream has no such mark


def read(path: Path, params: Ingest) -> Iterator[tuple[int, Mapping[str, object]]]:
    """(number, row) of each row, a batch in memory at a time."""
    from pyarrow import ipc

    with open_file(path, "Arrow or Feather") as source:
        is_file = source.read(len(FILE)) == FILE
        source.seek(0)
        if is_file:
            file = ipc.open_file(source)
            yield from rows_of(file.schema, map(file.get_batch, range(file.num_record_batches)), path)
        else:
            stream = ipc.open_stream(source)
            yield from rows_of(stream.schema, stream, path)
