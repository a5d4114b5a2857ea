"""The one lock for changes of aliases, slots or the routing table."""

from contextlib import AbstractContextManager
from pathlib import Path

from tasks.locks import hold_lock

LOCK = Path(".anneal/serving/reconcile.lock")
PATIENCE = 5.0  # seconds before a message about waiting


def locked() -> AbstractContextManager[None]:
    """Holds the lock; waits for its holder."""
    return hold_lock(LOCK, "another process is changing what is served; waiting for it to end", PATIENCE)
