"""The lineage of harvested rows: one file per harvest, which records what became of each correction or thumb; and the
folders of the pairs and ratings that were made of them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tasks.files import read_json, read_jsonl
from tasks.retrain.sift import Candidate

HOME = Path(".anneal/harvest")
ROWS = "harvested"  # the kind of a harvest of corrections; that of thumbs has another
GROUPS = ("taken", "quarantined", "waiting", "skipped")
DONE = ("taken", "quarantined", "skipped")  # `waiting` ones are considered again


def folder(dataset: str) -> Path:
    """Return the folder of a dataset's lineage and quarantine."""
    return HOME / dataset


def pairs_folder(task: str) -> Path:
    """Return the folder of the pairs that corrected answers of `task` made: a source for the shape `preference`."""
    return Path("data/harvested") / task / "pairs"


def ratings_folder(task: str) -> Path:
    """Return the folder of the answers of `task` that people rated: a source for the shape `rated`."""
    return Path("data/harvested") / task / "ratings"


def stored_rows(source: Path) -> Iterator[dict[str, Any]]:  # a row of JSON
    """Yield the rows of all files in a folder of pairs or ratings, oldest first."""
    for file in sorted(source.glob("*.jsonl")):
        yield from read_jsonl(file)


@dataclass(frozen=True)
class Amounts:
    """How many pairs and ratings of a task there are to learn from."""

    pairs: int = 0
    good: int = 0
    bad: int = 0


def amounts(task: str) -> Amounts:
    """Count the pairs and ratings of `task` in its folders."""
    labels = [row["label"] for row in stored_rows(ratings_folder(task))]
    pairs = sum(1 for _ in stored_rows(pairs_folder(task)))
    return Amounts(pairs, labels.count("good"), labels.count("bad"))


def harvested_requests(dataset: str, kind: str = ROWS) -> set[str]:
    """Return the ids of the requests that an earlier harvest of a `kind` took, quarantined or skipped."""
    return {
        request
        for file in sorted(folder(dataset).glob(f"{kind}-*.json"))
        for request in _done(file, file.stat().st_mtime_ns)
    }


@cache
def _done(file: Path, _changed: int) -> frozenset[str]:
    harvest = read_json(file)
    return frozenset(entry["request"] for kind in DONE for entry in harvest[kind])


def next_number(dataset: str, source: Path, kind: str = ROWS) -> int:
    """Return the number of the next harvest of a `kind`: one more than that of any earlier file."""
    names = [*folder(dataset).glob(f"{kind}-*.json"), *source.glob(f"{kind}-*")]
    return 1 + max(
        (int(name.stem.rpartition("-")[2]) for name in names if name.stem.rpartition("-")[2].isdigit()), default=0
    )


def entry(candidate: Candidate) -> dict[str, object]:
    """Return where a row came from, without its texts."""
    about = {
        "request": candidate.request,
        "key": candidate.key,
        "version": candidate.version,
        "template": candidate.template,
        "requested_at": candidate.requested_at,
        "corrected_at": candidate.corrected_at,
    }
    return about | ({"reasons": list(candidate.reasons)} if candidate.reasons else {})
