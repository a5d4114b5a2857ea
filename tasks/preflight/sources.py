"""Whether the source of a data set is there, and which columns it has."""

from collections.abc import Iterator
from pathlib import Path

from tasks.errors import AnnealError
from tasks.ingest import Ingest, peek, read


def problems(name: str, ingest: Ingest) -> Iterator[str]:
    """One sentence when the source of the data set `name` is not there, or holds nothing that can be read."""
    key = f"datasets.{name}.ingest.source"
    if ingest.source.startswith("~"):
        home = Path(ingest.source).expanduser() if ingest.source.startswith("~/") else "the path from / on"
        yield f"{key} is '{ingest.source}', and DVC does not know `~`: write {home}."
    elif not Path(ingest.source).exists():
        yield f"{key} is '{ingest.source}', which does not exist: put the data there, or correct the path."
    else:
        try:
            columns(ingest)
        except AnnealError as error:
            yield f"{key}: {error}"


def columns(ingest: Ingest) -> tuple[str, ...]:
    """The columns of the rows that `ingest` takes: those that it names, or those of its source's first row; `id` comes first."""
    return ("id", *peek(ingest).columns)


def rows(ingest: Ingest) -> list[dict[str, str]]:
    """The rows of the source as `ingest` will take them; AnnealError for the first that is broken."""
    return read(ingest, Path(ingest.source))[0]
