"""Reads what should be served: the versions that the registry's aliases point to."""

from collections.abc import Sequence
from pathlib import Path

from tasks.versions import registry, tracking
from tasks.versions.registry import Model


class Reader:
    """Reads the registry again only when it may have changed: a local store shows it by the times of its files."""

    def __init__(self) -> None:
        self._mark: object = None
        self._models: dict[str, Model] = {}

    def read(self, names: Sequence[str]) -> dict[str, Model]:
        """As `registry.read_all`, from memory when nothing has been written to a local store since."""
        files = _files(tracking.tracking_uri())
        mark = (tuple(names), files)
        if files is None or mark != self._mark:
            self._models = registry.read_all(names)
            self._mark = mark
        return self._models


def _files(uri: str) -> tuple[tuple[str, int, int], ...] | None:
    """Times and sizes of the files of a SQLite store; None for any other store, which has to be asked."""
    if not uri.startswith("sqlite:///"):
        return None
    path = Path(uri.removeprefix("sqlite:///"))
    files = [
        file
        for file in (path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-journal"))
        if file.exists()
    ]
    return tuple((file.name, file.stat().st_mtime_ns, file.stat().st_size) for file in files)


def superseded(model: Model) -> list[registry.Version]:
    """The versions with an open canary that are no longer the challenger."""
    current = (model.aliases.get("challenger"), model.aliases.get("champion"))
    return [version for version in model.versions.values() if version.canary and version.version not in current]
