"""Errors that a user can fix: one sentence that says what is wrong, where, and what to do."""

import errno
import os
from collections.abc import Iterable

# Errors caused by a file's name, place or owner; all others are bugs.
REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG, errno.ELOOP, errno.EISDIR, errno.ENOTDIR)


class AnnealError(Exception):
    """Ends the program with one sentence and `exit_status`; never shown as a traceback."""

    exit_status = 1


class ParamsError(AnnealError):
    """A value in params.yaml is wrong; nothing has been done yet."""

    exit_status = 2


class TransientError(AnnealError):
    """A hub or a server did not answer: the same call may succeed later."""

    exit_status = 75  # EX_TEMPFAIL of sysexits.h


class NotPromoted(AnnealError):
    """The gate refused `model`; `reasons` are the sentences of the checks that failed."""

    def __init__(self, model: str, reasons: tuple[str, ...]) -> None:
        super().__init__(model, reasons)
        self.model, self.reasons = model, reasons

    def __str__(self) -> str:
        return f"{self.model} was not promoted: {'; '.join(self.reasons)}."


def listed(names: Iterable[str]) -> str:
    """Return names for a sentence: `a`, `b`."""
    return ", ".join(f"`{name}`" for name in names)


def unusable(error: OSError) -> str:
    """Return the sentence for a file that cannot be read or written."""
    name = os.fspath(error.filename) if isinstance(error.filename, (str, os.PathLike)) else "a file"
    advice = (
        "correct the path"
        if error.errno in (errno.ENAMETOOLONG, errno.ELOOP, errno.EISDIR, errno.ENOTDIR)
        else "allow it (`chmod`, `chown`), or use another place"
    )
    return f"{name if len(name) <= 120 else name[:117] + '...'} cannot be read or written ({error.strerror}): {advice}."
