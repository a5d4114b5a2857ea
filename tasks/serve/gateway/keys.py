"""API keys: `python -m tasks.serve.gateway.keys NAME [--admin]` prints a new one once; only its hash is kept. Also
`--list` and `--revoke ID`.
"""

import argparse
import fcntl
import hashlib
import hmac
import json
import re
import secrets
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NotRequired, TypedDict

from tasks import stage
from tasks.errors import AnnealError
from tasks.files import read_json, write_text
from tasks.serve.gateway import log
from tasks.serve.gateway.changes import Stamp, stamp_of

STORE = Path(".anneal/keys.json")
FORM = re.compile(r"anneal-([0-9a-f]{8})-[\w-]{43}", re.ASCII)
NOBODY = hashlib.sha256(b"").hexdigest()


class Entry(TypedDict):
    """A key as the file has it."""

    name: str
    created: float
    sha256: str
    admin: NotRequired[bool]


Entries = dict[str, Entry]  # by the key's id


@dataclass(frozen=True)
class Caller:
    """The owner of a key."""

    id: str
    name: str
    admin: bool = False


class KeyStore:
    """The keys in a file, read again when it changes, so that a new or revoked key needs no restart."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.stamp: Stamp | None = None
        self.entries: Entries = {}

    def find(self, key: str) -> Caller | None:
        """The owner of `key`, or None. Takes the same time for a wrong secret as for the right one."""
        self._follow()
        form = FORM.fullmatch(key)
        entry = self.entries.get(form[1]) if form else None
        same = hmac.compare_digest(digest(key), entry["sha256"] if entry else NOBODY)
        return Caller(form[1], entry["name"], bool(entry.get("admin"))) if form and entry and same else None

    def _follow(self) -> None:
        stamp = stamp_of(self.path)
        if stamp is None:  # no file, no keys
            self.entries = {}
        elif stamp != self.stamp:
            try:
                self.entries = read_json(self.path)
            except (AnnealError, OSError) as error:  # the last readable keys stay valid
                reason = type(error).__name__
                log.error("keys", f"{self.path} cannot be read ({reason}); the previous keys stay valid")
        self.stamp = stamp


def digest(key: str) -> str:
    """SHA-256 of a key. A slow hash guards secrets that can be guessed; ours are 256 random bits, and each request
    hashes one.
    """
    return hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()


def create(name: str, admin: bool = False, path: Path = STORE) -> str:
    """A new key in `path`; it is shown this once, since the file has its hash only."""
    key_id = secrets.token_hex(4)
    key = f"anneal-{key_id}-{secrets.token_urlsafe(32)}"
    with _changing(path) as entries:
        entries[key_id] = {"name": name, "admin": admin, "created": time.time(), "sha256": digest(key)}
    return key


def revoke(key_id: str, path: Path = STORE) -> None:
    """Delete a key; AnnealError if none has this id."""
    with _changing(path) as entries:
        if entries.pop(key_id, None) is None:
            raise AnnealError(f"{path} has no key {key_id}: `python -m tasks.serve.gateway.keys --list` shows them.")


@contextmanager
def _changing(path: Path) -> Iterator[Entries]:
    """The entries of `path`, written back whole, mode 0600, when the block ends well; one process at a time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        entries = _read(path)
        yield entries
        write_text(path, json.dumps(entries, indent=2, sort_keys=True) + "\n", mode=0o600)


def _listing(path: Path) -> None:
    for key_id, entry in sorted(_read(path).items(), key=lambda item: item[1]["created"]):
        created = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry["created"]))
        print(f"{key_id}  {created}  {'admin' if entry.get('admin') else '-':<5}  {entry['name']}")


def _read(path: Path) -> Entries:
    entries: Entries = read_json(path) if path.exists() else {}
    return entries


def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tasks.serve.gateway.keys", description=__doc__)
    parser.add_argument("name", nargs="?", help="the owner of the key")
    parser.add_argument(
        "--admin", action="store_true", help="may promote, roll back, retrain, pause, and see everyone's feedback"
    )
    parser.add_argument("--list", action="store_true", help="ids and names")
    parser.add_argument("--revoke", metavar="ID")
    options = parser.parse_args()
    if options.list:
        _listing(STORE)
    elif options.revoke:
        revoke(options.revoke)
    elif options.name and options.name.strip():
        print(create(options.name.strip(), options.admin))
    else:
        parser.error("give the key a name")


if __name__ == "__main__":
    sys.exit(stage.guarded(_main))
