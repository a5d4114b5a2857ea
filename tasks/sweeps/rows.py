"""The rows of a sweep: a folder like that of the dataset, whose validation rows are split into two."""

import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path

from tasks.errors import AnnealError
from tasks.files import read_jsonl, whole_directory, write_jsonl

SHOWN, HELD_BACK = "validation.jsonl", "held_back.jsonl"
LEAST = 4  # rows on either side


def split(prepared: Path, out: Path, held_back: float, seed: int) -> tuple[int, int]:
    """Make `out/` of `prepared/`; return how many validation rows trials see, and how many are held back.

    Files are copies, so a run that replaces the dataset meanwhile changes nothing here.
    """
    rows = read_jsonl(prepared / SHOWN)
    order = sorted(rows, key=lambda row: _place(row, seed))
    kept = {str(row["id"]) for row in order[: round(held_back * len(order))]}
    shown = [row for row in rows if str(row["id"]) not in kept]
    back = [row for row in rows if str(row["id"]) in kept]
    if min(len(shown), len(back)) < LEAST:
        raise AnnealError(
            f"{prepared / SHOWN} has {len(rows)} rows, too few to hold back {held_back:g} of them for the finalists: "
            "raise prepare.validation_share in params.yaml, or change held_back of the sweep."
        )
    if not out.exists():
        with whole_directory(out) as folder:
            for file in sorted(prepared.rglob("*")):
                if file.is_file() and file.name != SHOWN:
                    place = folder / file.relative_to(prepared)
                    place.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(file, place)
            write_jsonl(folder / SHOWN, shown)
            write_jsonl(folder / HELD_BACK, back)
    return len(shown), len(back)


def _place(row: Mapping[str, object], seed: int) -> str:
    return hashlib.sha256(f"{seed} {row['id']}".encode()).hexdigest()
