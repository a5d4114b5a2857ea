"""ingest: reads a source of any of the known formats, whole or not at all, and takes a snapshot of it."""

from tasks.ingest.added import format_for_new_rows
from tasks.ingest.params import Ingest
from tasks.ingest.source import Peek, first_as_read, is_image_folder, peek, read, resolved, sources, version

__all__ = [
    "Ingest",
    "Peek",
    "first_as_read",
    "format_for_new_rows",
    "is_image_folder",
    "peek",
    "read",
    "resolved",
    "sources",
    "version",
]
