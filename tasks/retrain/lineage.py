"""Where harvested rows came from: one file per harvest, which says what was done with each correction."""

from functools import cache
from pathlib import Path

from tasks.files import read_json

HOME = Path(".anneal/harvest")
DONE = ("taken", "quarantined", "skipped")  # what is `waiting` comes up again


def folder(dataset: str) -> Path:
    """The folder of a dataset's lineage and quarantine."""
    return HOME / dataset


def consumed(dataset: str) -> set[str]:
    """Ids of the requests that an earlier harvest took, set aside or skipped."""
    return {
        request
        for file in sorted(folder(dataset).glob("harvested-*.json"))
        for request in _done(file, file.stat().st_mtime_ns)
    }


@cache
def _done(file: Path, _changed: int) -> frozenset[str]:
    harvest = read_json(file)
    return frozenset(entry["request"] for kind in DONE for entry in harvest[kind])


def next_number(dataset: str, source: Path) -> int:
    """The number of the next harvest: one more than any file of an earlier one has."""
    names = [*folder(dataset).glob("harvested-*.json"), *source.glob("harvested-*")]
    return 1 + max(
        (int(name.stem.rpartition("-")[2]) for name in names if name.stem.rpartition("-")[2].isdigit()), default=0
    )
