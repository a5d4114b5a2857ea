"""Writes files atomically, reads JSON lines, and hashes files and folders."""

import fcntl
import glob
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tasks.errors import AnnealError


def write_text(path: Path, text: str, mode: int = 0o644) -> None:
    """Write `text` to `path` as UTF-8, atomically: a temporary file beside it, which only its owner can read until
    it has `mode`, fsync, rename.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, mode)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def write_json(path: Path, value: object) -> None:
    """Write `value` to `path` as JSON with sorted keys, so that equal values are equal bytes."""
    write_text(path, json.dumps(value, ensure_ascii=False, indent=2, sort_keys=True) + "\n")


def write_jsonl(path: Path, rows: Iterable[Mapping[str, object]]) -> None:
    """Write `rows` to `path`, one JSON object per line, keys in the order given."""
    write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def read_json(path: Path) -> Any:
    """Return the JSON value at `path`, of the type that the caller declares; AnnealError if it is missing or
    invalid.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise AnnealError(f"{path} is missing: run `make pipeline` (or `dvc repro`) to make it.") from None
    except ValueError as error:
        raise AnnealError(f"{path} is not valid JSON ({error}): delete it and run `make pipeline` again.") from None


def read_jsonl(path: Path) -> list[Any]:
    """Return the rows of a JSON-lines file that the pipeline itself wrote, of the type that the caller declares; ingest
    reads files from elsewhere.
    """
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


@contextmanager
def whole_directory(path: Path) -> Iterator[Path]:
    """Yield an empty directory that replaces `path` if the block succeeds, and is removed if it fails. Leftovers of
    killed processes are removed first.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(path)
    with _directory_beside(path) as temporary:
        yield temporary
        for file in sorted(temporary.rglob("*")):
            if file.is_file():
                os.chmod(file, 0o644)  # some writers make 0600 files, which another user could not serve
                with file.open("rb") as opened:
                    os.fsync(opened.fileno())
        os.chmod(temporary, 0o755)
        _exchange(temporary, path)


PART = ".part"  # the suffix of a directory that is being written


@contextmanager
def _directory_beside(path: Path) -> Iterator[Path]:
    """Yield a new directory next to `path`, removed at the end unless renamed; locked while its process lives."""
    while True:
        temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.", suffix=PART))
        try:
            handle = _locked(temporary)
        except FileNotFoundError:
            continue  # another process removed it as a leftover before it was locked
        except OSError:
            handle = os.open(temporary, os.O_RDONLY)  # a file system without locks: leftovers are not removed
        if handle is not None and temporary.exists():
            break
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        os.close(handle)


def _locked(folder: Path) -> int | None:
    """Return an open handle that locks `folder` until it is closed or its process ends; None if another process has the
    lock, OSError if that cannot be determined.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BaseException as error:
        os.close(handle)
        if isinstance(error, BlockingIOError):
            return None
        raise
    return handle


def _remove_leftovers(path: Path) -> None:
    """Remove the directories that killed processes left next to `path`."""
    for folder in path.parent.glob(f".{glob.escape(path.name)}.????????{PART}"):
        try:
            handle = _locked(folder)
        except OSError:
            continue  # not a directory, another user's, or on a file system without locks
        if handle is not None:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(handle)


def _exchange(new: Path, path: Path) -> None:
    """Move the directory `new` to `path`. The old one is moved aside first and removed last, so that it is never half
    removed.
    """
    with _directory_beside(path) as old:
        if path.exists():
            os.replace(path, old / "old")
        try:
            os.replace(new, path)
        except BaseException:
            if (old / "old").exists():
                os.replace(old / "old", path)
            raise


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, or of a directory: of the sorted relative names and hashes of its files."""
    if path.is_dir():
        lines = [
            f"{file.relative_to(path).as_posix()} {sha256(file)}\n"
            for file in sorted(path.rglob("*"))
            if file.is_file()
        ]
        return hashlib.sha256("".join(lines).encode()).hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
