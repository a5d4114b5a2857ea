"""The images of rows: their paths in the source, and how ingest stores their bytes."""

import hashlib
import shutil
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import TypedDict

from tasks.errors import AnnealError
from tasks.stages.ingest.params import Ingest

FOLDER_COLUMN = "image"  # of a folder of images
KEPT = "images"  # beside rows.jsonl


class Kept(TypedDict):
    """The manifest's record of images: how many are distinct, their bytes, and how many rows lack theirs."""

    count: int
    bytes: int
    missing: int


def column(path: Path, params: Ingest) -> str | None:
    """The column of image paths in a file of the source; None if it has none."""
    return FOLDER_COLUMN if path.is_dir() else params.image_column


def image_path(cell: object, file: Path, where: str) -> str:
    """The path of the image that a cell of `file` names; AnnealError if it is outside the source, where changes would
    go unnoticed.
    """
    name = str(cell).strip()
    parts = PurePosixPath(name.replace("\\", "/"))
    if not name or parts.is_absolute() or ".." in parts.parts or "://" in name:
        raise AnnealError(
            f"{where}: {name[:80]!r} is not a path below {file if file.is_dir() else file.parent}, the folder that DVC "
            "watches: put the images there, and write their paths from there on."
        )
    return (file if file.is_dir() else file.parent).joinpath(*parts.parts).as_posix()


def store_images(rows: Iterable[dict[str, str]], name: str, folder: Path, out: Path) -> Kept:
    """Copy the image in column `name` of each row into `folder`, by the hash of its bytes, and replace the path by the
    one in `out`. The path of a missing file stays, and prepare sets its row aside.
    """
    kept: Kept = {"count": 0, "bytes": 0, "missing": 0}
    for row in rows:
        file = Path(row[name])
        if not file.is_file():
            kept["missing"] += 1
            continue
        with file.open("rb") as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
        inside = Path(KEPT) / digest[:2] / f"{digest}{file.suffix.lower()}"
        if not (folder / inside).exists():
            (folder / inside).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, folder / inside)
            kept["count"] += 1
            kept["bytes"] += file.stat().st_size
        row[name] = (out / inside).as_posix()
    return kept
