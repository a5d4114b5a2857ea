"""The output of `prepare`, `mix` and `cascade`: a file of rows per split."""

from pathlib import Path

from tasks.dataset.rows import Prepared
from tasks.files import read_jsonl

SPLITS = ("train", "validation", "test")


def splits(folder: Path) -> dict[str, list[Prepared]]:
    """{split: its rows} of the splits in `folder`."""
    files = {split: folder / f"{split}.jsonl" for split in SPLITS}
    return {split: read_jsonl(file) for split, file in files.items() if file.exists()}


def rows_of(folder: Path) -> list[Prepared]:
    """All rows of `folder`."""
    return [row for rows in splits(folder).values() for row in rows]
