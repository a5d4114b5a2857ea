"""Pairs of answers, as the stage `rank` writes them and `ingest` reads them."""

from pathlib import Path

from tasks import paths

FILE = "pairs.jsonl"
TEXTS = ("prompt", "chosen", "rejected")
# What checks see before there is any pair.
EXAMPLE = {
    "id": "a",
    "prompt": '[{"role": "user", "content": "a question"}]',
    "chosen": "the better answer",
    "rejected": "the worse answer",
    "lineage": "{}",
}


def ranking_of(source: str) -> str | None:
    """The row of rankings whose pairs lie in the folder `source`; None for the data of a person."""
    path, folder = Path(source), paths.ranked("_").parent
    return path.name if path.parent == folder and path.name else None


def is_planned(source: str) -> bool:
    """Whether `source` is of pairs that are still to be made."""
    return ranking_of(source) is not None and not Path(source).exists()
