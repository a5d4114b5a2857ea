"""The Great Expectations suites of a data set: whether they are there."""

from collections.abc import Iterable, Iterator
from pathlib import Path

FOLDER = Path("data/expectations")
STAGES = {"raw": "validate", "prepared": "prepare"}  # suite: the stage that checks rows against it


def missing(datasets: Iterable[str]) -> Iterator[str]:
    """One sentence for each suite of `datasets` that is not there."""
    for name in datasets:
        for suite, stage in STAGES.items():
            if not (path := FOLDER / name / f"{suite}.json").is_file():
                yield f"{path} is missing, and `{stage}` checks rows against it: `make pipeline` profiles the data and writes one, or write it yourself."
