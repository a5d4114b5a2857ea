"""ingest: takes a snapshot of a source in any known format, all or nothing."""

from tasks.stages.ingest.added import format_for_new_rows
from tasks.stages.ingest.params import Ingest
from tasks.stages.ingest.source import (
    Peek,
    first_as_read,
    is_image_folder,
    peek,
    read,
    source_files,
    version,
    with_columns,
)

__all__ = [
    "Ingest",
    "Peek",
    "first_as_read",
    "format_for_new_rows",
    "is_image_folder",
    "peek",
    "read",
    "source_files",
    "version",
    "with_columns",
]
