"""The one lock of everything that changes aliases, slots or the routing table."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOCK = Path(".anneal/serving/reconcile.lock")
PATIENCE = 5.0  # seconds before a wait is said


@contextmanager
def locked() -> Iterator[None]:
    """Hold the lock; waits for its holder, and the kernel lets go of it when that one dies. A process may take it
    twice.
    """
    from filelock import FileLock, Timeout

    LOCK.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(LOCK, is_singleton=True)
    try:
        lock.acquire(timeout=PATIENCE)
    except Timeout:
        print("another process is changing what is served; waiting for it to end", flush=True)
        lock.acquire(timeout=-1)
    try:
        yield
    finally:
        lock.release()
