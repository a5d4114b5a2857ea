"""Snapshots of remote sources: fetched whole into `data/snapshots/<dataset>`, which `ingest` reads.

The manifest lies beside that folder, not in it: no stage depends on the time at which rows were fetched.
"""

import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol, TypedDict

from tasks import sources
from tasks.errors import AnnealError, ParamsError
from tasks.files import read_json, sha256, whole_directory, write_json
from tasks.section import Section
from tasks.stages.ingest import Ingest, version

FOLDER = Path("data/snapshots")


class FileTaken(TypedDict):
    """The manifest's entry of a file."""

    name: str
    sha256: str
    bytes: int


def place(name: str) -> Path:
    """The folder of a dataset's snapshot: its `ingest.source`."""
    return FOLDER / name


def problem(name: str, params: Section) -> str | None:
    """Why the source of the dataset `name` could not be fetched now, under its key of params.yaml."""
    words = sources.of(params).problem(params)
    return f"datasets.{name}.snapshot: {words}." if words else None


class Row(Protocol):
    """A row of `datasets`."""

    snapshot: Section | None
    ingest: Ingest


def refresh_all(datasets: Mapping[str, Row], names: Iterable[str], say: Callable[[str], None]) -> list[Path]:
    """Fetch those of the named datasets that have a snapshot; their folders. `say` gets a line for each."""
    asked = {name: datasets[name] for name in names if datasets[name].snapshot is not None}
    for name, row in asked.items():
        assert row.snapshot is not None
        is_changed = refresh(name, row.snapshot, row.ingest)
        say(f"snapshot of {name}: {'rows that are new, in' if is_changed else 'unchanged,'} {place(name)}")
    return [place(name) for name in asked]


def refresh(name: str, params: Section, ingest: Ingest) -> bool:
    """Fetch the source of the dataset `name`; True when its content is another than that of the last snapshot.

    Equal content leaves the folder untouched, and a fetch that breaks off leaves the last snapshot. Files that others
    put beside it (harvested rows) stay. Raises ParamsError for what can be known before the fetch.
    """
    source, folder = sources.of(params), place(name)
    about = _about(params, ingest)
    before = read_json(_manifest(name)) if _manifest(name).exists() else {}
    is_whole = bool(before) and _taken(folder, before["files"]) == before["files"]
    if source.IS_FIXED and is_whole and before["source"] == about["source"]:
        return False
    if words := problem(name, params):
        raise ParamsError(f"params.yaml: {words}")
    fresh = FOLDER / f".{name}.fresh"
    with whole_directory(fresh) as temporary:
        rows = source.fetch(params, ingest, temporary)
        if not rows:
            raise AnnealError(f"the source of the dataset {name} gave no rows; its last snapshot stays.")
    files = _taken(fresh, [{"name": path.name} for path in sorted(fresh.iterdir())])
    is_changed = not is_whole or files != before["files"]
    if is_changed:
        _replace(folder, fresh, {file["name"] for file in before.get("files", [])})
    shutil.rmtree(fresh)
    if is_changed or any(before.get(key) != value for key, value in about.items()):
        now = datetime.now(UTC).isoformat(timespec="seconds")
        write_json(_manifest(name), about | {"at": now, "files": files, "rows": rows, "sha256": version(files)})
    return is_changed


def _about(params: Section, ingest: Ingest) -> dict[str, object]:
    """The source as in params.yaml, which holds no secrets, and the licence."""
    licence = {"license": ingest.license} if ingest.license else {}
    return {"source": params.model_dump(exclude_none=True), **licence}


def _manifest(name: str) -> Path:
    return FOLDER / f"{name}.json"


def _taken(folder: Path, files: Sequence[Mapping[str, object]]) -> list[FileTaken]:
    """Entries for those of the named files that exist in `folder`."""
    paths = [folder / str(file["name"]) for file in files]
    return [
        {"name": path.name, "sha256": sha256(path), "bytes": path.stat().st_size} for path in paths if path.is_file()
    ]


def _replace(folder: Path, fresh: Path, old: set[str]) -> None:
    """Put the files of `fresh` into `folder` at once, in place of the `old` ones."""
    with whole_directory(folder) as new:
        for path in sorted(folder.iterdir()) if folder.is_dir() else []:
            if path.is_file() and path.name not in old and not (fresh / path.name).exists():
                os.link(path, new / path.name)
        for path in sorted(fresh.iterdir()):
            os.replace(path, new / path.name)
