"""Tells whether a file has changed since it was last read."""

from pathlib import Path

Stamp = tuple[int, int, int]  # inode, nanoseconds of the last change, bytes


def stamp_of(path: Path) -> Stamp | None:
    """A stamp that changes whenever `path` is written; None if the file or its disk is missing."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size
