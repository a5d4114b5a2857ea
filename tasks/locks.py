"""Waits for the holder of a lock, and says so."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def held(file: Path, words: str, patience: float = 0.0) -> Iterator[None]:
    """Hold the lock in `file`; `words` are said where another process holds it for longer than `patience` seconds. The
    kernel lets go of it when its holder dies; a process may take it twice.
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
