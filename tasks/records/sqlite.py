"""How records lie in SQLite: a write-ahead log, and how long a lock is waited for."""

import sqlite3
import time

BUSY_SECONDS = 5  # that a program waits for another one's lock on the records


def prepare(connection: sqlite3.Connection, _: object) -> None:
    """Set up a new connection: readers and a writer at once, and no torn file after kill -9 (sqlite.org/wal.html).

    Raises sqlite3.OperationalError when another program keeps a new file locked for BUSY_SECONDS.
    """
    connection.execute(f"PRAGMA busy_timeout={int(1000 * BUSY_SECONDS)}")
    end = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            break
        except sqlite3.OperationalError as error:
            # Only a new file is switched. If another program is making its tables, SQLite refuses at once: it does not
            # wait where waiting could be for ever (sqlite.org/c3ref/busy_handler.html).
            if "locked" not in str(error) or time.monotonic() > end:
                raise
            time.sleep(0.05)
    connection.execute("PRAGMA synchronous=NORMAL")
