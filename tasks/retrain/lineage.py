"""The lineage of harvested rows: one file per harvest, which records what became of each correction."""

from functools import cache
from pathlib import Path

from tasks.files import read_json

HOME = Path(".anneal/harvest")
DONE = ("taken", "quarantined", "skipped")  # `waiting` ones are considered again


def folder(dataset: str) -> Path:
    """Return the folder of a dataset's lineage and quarantine."""
    return HOME / dataset


def harvested_requests(dataset: str) -> set[str]:
    """Return the ids of the requests that an earlier harvest took, quarantined or skipped."""
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
    """Return the number of the next harvest: one more than that of any earlier file."""
    names = [*folder(dataset).glob("harvested-*.json"), *source.glob("harvested-*")]
    return 1 + max(
        (int(name.stem.rpartition("-")[2]) for name in names if name.stem.rpartition("-")[2].isdigit()), default=0
    )
