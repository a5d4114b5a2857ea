"""A journal: lines that are kept one by one while work goes on, so that a killed run loses none that was done."""

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class Journal:
    """The lines of a file that belongs to one piece of work, which `key` identifies; those of another are dropped.

    A line that a killed run left unfinished is dropped as well.
    """

    def __init__(self, path: Path, key: str) -> None:
        self._path, self._key, self._lock = path, key, threading.Lock()
        self.lines: list[Any] = self._read()

    def _read(self) -> list[Any]:
        try:
            text = self._path.read_bytes().rpartition(b"\n")[0].decode("utf-8")
        except FileNotFoundError:
            return []
        first, *lines = text.split("\n")
        return [json.loads(line) for line in lines] if first == self._key else []

    @contextmanager
    def open(self) -> "Iterator[Journal]":
        """Keep lines in the file, until the block ends; then the file stays, for `remove`."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        kept = "".join(f"{json.dumps(line, ensure_ascii=False)}\n" for line in self.lines)
        temporary = self._path.with_name(f".{self._path.name}.part")
        temporary.write_text(f"{self._key}\n{kept}", encoding="utf-8")  # without what was dropped
        temporary.replace(self._path)
        with self._path.open("a", encoding="utf-8") as self._file:
            yield self

    def keep(self, line: object) -> None:
        """Add a line, which is on the disk when this returns; threads may share a journal."""
        with self._lock:
            self._file.write(f"{json.dumps(line, ensure_ascii=False)}\n")
            self._file.flush()
            os.fsync(self._file.fileno())
            self.lines.append(line)

    def remove(self) -> None:
        """Remove the file: the work is done and kept elsewhere."""
        self._path.unlink(missing_ok=True)
