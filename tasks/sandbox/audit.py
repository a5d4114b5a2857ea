"""Refuses within Python what generated code has no need for, on every system. Code that knows how gets around it, so it
is the only line of defence only where the kernel offers none (PEP 578).
"""

import os
import sys
from collections.abc import Sequence

REFUSED = (
    "os.", "socket.", "subprocess.", "shutil.", "ctypes.", "pty.", "fcntl.", "mmap.", "signal.", "resource.", "syslog.",
    "urllib.", "http.", "ftplib.", "smtplib.", "imaplib.", "poplib.", "nntplib.", "telnetlib.", "sqlite3.", "tempfile.",
    "webbrowser.", "winreg.", "_winapi.", "msvcrt.", "ensurepip.", "sys.addaudithook", "cpython.run_",
)  # fmt: skip
LISTINGS = ("os.listdir", "os.scandir")
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
MODULES = ("_ctypes", "_posixsubprocess", "_testcapi", "_testinternalcapi")


def restrict(folders: Sequence[str]) -> None:
    """Refuse, from here on, all but reading in `folders`, with PermissionError."""
    places = tuple(f"{os.path.realpath(folder)}{os.sep}" for folder in folders)

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event == "open":
            is_allowed = _reads(arguments, places)
        elif event in LISTINGS:
            is_allowed = _is_in(arguments[0] or ".", places)
        elif event == "import":
            is_allowed = arguments[0] not in MODULES
        else:
            is_allowed = not event.startswith(REFUSED)
        if not is_allowed:
            raise PermissionError(f"{event} is not allowed here")

    sys.addaudithook(hook)


def _reads(arguments: tuple[object, ...], places: tuple[str, ...]) -> bool:
    """Whether the arguments of an `open` (path, mode, flags) only read a file in one of `places`."""
    path, mode, flags = arguments
    if isinstance(path, int):  # an open file of this process
        return True
    writes = (isinstance(mode, str) and set(mode) & set("wax+")) or (isinstance(flags, int) and flags & WRITING)
    return not writes and _is_in(path, places)


def _is_in(path: object, places: tuple[str, ...]) -> bool:
    if not isinstance(path, str | bytes | os.PathLike):
        return False
    return f"{os.path.realpath(os.fsdecode(path))}{os.sep}".startswith(places)
