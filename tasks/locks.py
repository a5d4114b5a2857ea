"""Waits for a file lock, and prints that it waits."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def hold_lock(file: Path, words: str, patience: float = 0.0) -> Iterator[None]:
    """Hold the lock in `file`; print `words` if another process holds it for longer than `patience` seconds. The kernel
    releases it when its holder dies; a process may take it twice.
    """
    from filelock import FileLock, Timeout

    file.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(file, is_singleton=True)
    try:
        lock.acquire(timeout=patience)
    except Timeout:
        print(words, flush=True)
        lock.acquire(timeout=-1)
    try:
        yield
    finally:
        lock.release()
