"""The adapters of other models that a dataset brings (tasks/stages/bundle.py)."""

from collections.abc import Sequence
from pathlib import Path

from tasks.errors import AnnealError
from tasks.files import read_json, sha256, write_json

FILE, FOLDER = "bundle.json", "adapters"  # in the folder of the dataset: the list, and a folder for each model


def write(folder: Path, models: Sequence[str]) -> str:
    """List the adapters of `models` that lie in the `folder` of a dataset; returns the hash of the list."""
    adapters = [{"model": name, "sha256": sha256(folder / FOLDER / name)} for name in models]
    write_json(folder / FILE, {"adapters": adapters})
    return sha256(folder / FILE)


def read(prepared: Path | None) -> dict[str, Path]:
    """{model: the folder of its adapter} of those that a dataset brings, in the order in which they were added.

    Raises AnnealError if one is not what was added.
    """
    if prepared is None or not (prepared / FILE).exists():
        return {}
    folders: dict[str, Path] = {}
    for adapter in read_json(prepared / FILE)["adapters"]:
        folder = folders[adapter["model"]] = prepared / FOLDER / adapter["model"]
        if not folder.exists() or sha256(folder) != adapter["sha256"]:
            raise AnnealError(
                f"{folder} is not the adapter that was added to {prepared.name}; delete {prepared} and run again."
            )
    return folders


def at_least(least: int, prepared: Path | None) -> dict[str, Path]:
    """As `read`; AnnealError if there are fewer than `least`, which is 1 or 2."""
    if len(folders := read(prepared)) < least:
        needed = "the adapter of a model" if least == 1 else "the adapters of two models"
        raise AnnealError(f"{prepared} does not bring {needed}; build it as rows of bundles.")
    return folders
