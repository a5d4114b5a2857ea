"""Checks that the source of a dataset exists, and reads its columns and rows."""

import re
from collections.abc import Iterator
from pathlib import Path

from tasks import paths
from tasks.dataset import ranked
from tasks.errors import AnnealError, unusable
from tasks.params import Dataset, Params
from tasks.stages.ingest import Ingest, Peek, peek, read
from tasks.steps import snapshot

URL = re.compile(r"[A-Za-z][\w+.-]*://")


def problems(name: str, dataset: Dataset) -> Iterator[str]:
    """Yield a sentence if the source of the dataset `name` is missing, unreadable, inside a folder that stages
    write, or not a path.
    """
    key, ingest, place = f"datasets.{name}.ingest.source", dataset.ingest, snapshot.place(name)
    try:
        if dataset.snapshot and Path(ingest.source) != place:
            yield f"{key} is '{ingest.source}', but the snapshot of {name} is in {place}: write that."
        elif dataset.snapshot and not place.exists():
            yield f"{key} is '{place}', of which no snapshot has been taken yet: run `make snapshot`."
        elif URL.match(ingest.source):
            yield (
                f"{key} is a URL ({ingest.source.partition(':')[0]}://…), and DVC watches files: write {place} there, "
                f"and under datasets.{name} `snapshot: {{kind: url, url: …}}`, or kind sql or hub (see README)."
            )
        elif ingest.source.startswith("~"):
            home = Path(ingest.source).expanduser() if ingest.source.startswith("~/") else "the path from / on"
            yield f"{key} is '{ingest.source}', and DVC does not expand `~`: write {home}."
        elif ranked.is_planned(ingest.source):
            return  # the DAG makes it
        elif not Path(ingest.source).exists():
            yield f"{key} is '{ingest.source}', which does not exist: put the data there, or correct the path."
        elif folder := _output_folder(name, Path(ingest.source)):
            yield (
                f"{key} is '{ingest.source}', and {folder} is made by the pipeline: put the data elsewhere, for "
                f"example into data/{name}-source."
            )
        else:
            columns(ingest)
    except OSError as error:
        yield f"{key}: {unusable(error)}"
    except AnnealError as error:
        yield f"{key}: {error}"


def unreachable(params: Params) -> Iterator[str]:
    """Yield a sentence for each dataset whose snapshot could not be taken now."""
    for name, dataset in params.datasets.items():
        if dataset.snapshot and (words := snapshot.problem(name, dataset.snapshot)):
            yield words


def columns(ingest: Ingest) -> tuple[str, ...]:
    """Return the columns that `ingest` reads: those that it names, or those of the first row; `id` comes first."""
    return ("id", *_peek(ingest).columns)


def first_rows(ingest: Ingest) -> tuple[dict[str, str], ...]:
    """Return the first few rows of the source, as `ingest` will read them."""
    return _peek(ingest).rows


def _peek(ingest: Ingest) -> Peek:
    if ranked.is_planned(ingest.source):
        return Peek(tuple(name for name in ranked.EXAMPLE if name != "id"), (ranked.EXAMPLE,))
    first = peek(ingest)
    if not first.rows:
        raise AnnealError(f"{ingest.source} has no rows.")
    return first


def rows(ingest: Ingest) -> list[dict[str, str]]:
    """Return the rows of the source as `ingest` will read them; AnnealError for the first broken one, or if there are
    none.
    """
    try:
        source_rows = read(ingest, Path(ingest.source))[0]
    except OSError as error:
        raise AnnealError(unusable(error)) from None
    if not source_rows:
        raise AnnealError(f"{ingest.source} has no rows.")
    return source_rows


def _output_folder(name: str, source: Path) -> Path | None:
    """Return the output folder of the dataset that contains `source` or lies in it; None if there is none."""
    place = source.resolve()
    for folder in paths.of_dataset(name):
        if folder.resolve().is_relative_to(place) or place.is_relative_to(folder.resolve()):
            return folder
    return None
