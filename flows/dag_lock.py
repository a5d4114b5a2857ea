"""DVC's lock file, which lists what each stage last read and wrote, and a copy of it: DVC writes it in place, so a kill
or a full disk can leave it empty or cut off.
"""

import contextlib
import hashlib
import json
from pathlib import Path

from tasks.errors import AnnealError
from tasks.files import write_text

LOCK = Path("dvc.lock")
COPY = Path(".anneal/dvc.lock")  # as it was before the latest stage
RWLOCK = Path(".dvc/tmp/rwlock")
CONFLICT = "<<<<<<<"


def digest() -> str:
    """The SHA-256 of dvc.lock."""
    return hashlib.sha256(LOCK.read_bytes()).hexdigest() if LOCK.exists() else ""


def keep() -> None:
    """Copy dvc.lock to where `restore_if_torn` finds it, unless it is cut off. An empty copy: there was none."""
    text = LOCK.read_text(encoding="utf-8", errors="replace") if LOCK.exists() else ""
    if not LOCK.exists() or text.endswith("\n"):  # a whole check takes a second of a long file, and `check` does it
        write_text(COPY, text)


def restore_if_torn() -> None:
    """Put the copy in place of a dvc.lock that is damaged, unless by a merge conflict, which is a person's to resolve.
    What stages did after the copy was made is found in DVC's run cache.
    """
    if not COPY.exists() or not _problem() or CONFLICT in LOCK.read_text(encoding="utf-8", errors="replace"):
        return
    with contextlib.suppress(OSError):  # the disk is still full: the next run restores it
        if text := COPY.read_text(encoding="utf-8"):
            write_text(LOCK, text)
        else:
            LOCK.unlink()


def check() -> None:
    """Raise AnnealError if dvc.lock holds a merge conflict, or is damaged and cannot be restored. DVC's list of open
    files is deleted if a kill has torn it.
    """
    restore_if_torn()
    if problem := _problem():
        raise AnnealError(
            f"dvc.lock is damaged ({problem}): restore it with `git checkout dvc.lock`, or delete it (what is in DVC's "
            "run cache is not computed again)."
        )
    if RWLOCK.exists():
        try:
            json.loads(RWLOCK.read_text())
        except ValueError:
            RWLOCK.unlink()  # it only lists processes that hold files, and a torn list holds none


def _problem() -> str:
    """Why dvc.lock cannot be used; an empty text if it can."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    if not LOCK.exists():
        return ""
    try:
        text = LOCK.read_text(encoding="utf-8")
        lock = YAML(typ="safe").load(text)
        if not isinstance(lock, dict) or not isinstance(lock.get("stages"), dict | None):
            return "it holds no stages"
        torn = [name for name, entry in (lock.get("stages") or {}).items() if "cmd" not in (entry or ())]
        if torn:
            return f"stage {torn[0]} has no cmd"
        return "" if text.endswith("\n") else "it is cut off"
    except (YAMLError, ValueError, TypeError) as error:
        return " ".join(str(getattr(error, "problem", None) or error).split())[:120]
