"""Whether the source of a dataset exists, and its columns."""

import re
from collections.abc import Iterator
from pathlib import Path

from tasks import paths
from tasks.errors import AnnealError, unusable
from tasks.params import Dataset, Params
from tasks.stages.ingest import Ingest, Peek, peek, read
from tasks.steps import snapshot

URL = re.compile(r"[A-Za-z][\w+.-]*://")


def problems(name: str, dataset: Dataset) -> Iterator[str]:
    """One sentence when the source of the dataset `name` is not there, holds nothing that can be read, lies where
    stages write, or is no path.
    """
    key, ingest, taken = f"datasets.{name}.ingest.source", dataset.ingest, snapshot.place(name)
    try:
        if dataset.snapshot and Path(ingest.source) != taken:
            yield f"{key} is '{ingest.source}', but the snapshot of {name} is in {taken}: write that."
        elif dataset.snapshot and not taken.exists():
            yield f"{key} is '{taken}', of which no snapshot has been taken yet: run `make snapshot`."
        elif URL.match(ingest.source):
            yield (
                f"{key} is a URL ({ingest.source.partition(':')[0]}://…), and DVC watches files: write {taken} there, "
                f"and under datasets.{name} `snapshot: {{kind: url, url: …}}`, or kind sql or hub (see README)."
            )
        elif ingest.source.startswith("~"):
            home = Path(ingest.source).expanduser() if ingest.source.startswith("~/") else "the path from / on"
            yield f"{key} is '{ingest.source}', and DVC does not expand `~`: write {home}."
        elif not Path(ingest.source).exists():
            yield f"{key} is '{ingest.source}', which does not exist: put the data there, or correct the path."
        elif folder := _made(name, Path(ingest.source)):
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
    """One sentence for each dataset whose snapshot could not be taken now."""
    for name, dataset in params.datasets.items():
        if dataset.snapshot and (words := snapshot.problem(name, dataset.snapshot)):
            yield words


def columns(ingest: Ingest) -> tuple[str, ...]:
    """The columns of the rows that `ingest` takes: those that it names, or those of its source's first row; `id`
    comes first.
    """
    return ("id", *_peek(ingest).columns)


def first_rows(ingest: Ingest) -> tuple[dict[str, str], ...]:
    """The first few rows of the source, as `ingest` will take them."""
    return _peek(ingest).rows


def _peek(ingest: Ingest) -> Peek:
    first = peek(ingest)
    if not first.rows:
        raise AnnealError(f"{ingest.source} has no rows.")
    return first


def rows(ingest: Ingest) -> list[dict[str, str]]:
    """The rows of the source as `ingest` will take them; AnnealError for the first that is broken, and when there is
    none.
    """
    try:
        taken = read(ingest, Path(ingest.source))[0]
    except OSError as error:
        raise AnnealError(unusable(error)) from None
    if not taken:
        raise AnnealError(f"{ingest.source} has no rows.")
    return taken


def _made(name: str, source: Path) -> Path | None:
    """The folder of the dataset's own that holds `source` or is held by it."""
    place = source.resolve()
    return next(
        (
            folder
            for folder in paths.of_dataset(name)
            if (whole := folder.resolve()).is_relative_to(place) or place.is_relative_to(whole)
        ),
        None,
    )
