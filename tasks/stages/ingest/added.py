"""The format in which rows can be added to the folder of a source."""

from pathlib import Path

from tasks.errors import AnnealError
from tasks.stages.ingest.params import Ingest
from tasks.stages.ingest.readers import name_of, reader
from tasks.stages.ingest.saved import files_of_saved
from tasks.stages.ingest.source import source_files


def format_for_new_rows(params: Ingest, source: Path) -> str:
    """The format in which rows can be added to the folder: the one that is set, that of its first file, or JSON lines
    if that cannot be added to; AnnealError if these would not be read.
    """
    first = name_of(source_files(params, source)[0], params)
    is_headless = params.header is False and reader(first).HAS_HEADER  # there is no place for an id
    if reader(first).IS_ADDED_TO and not is_headless:
        return first
    if params.format is None and not reader(first).IS_DOCUMENTS and not files_of_saved(source):
        return "jsonl"
    if is_headless:
        raise AnnealError(
            f"{source} is read as {first} without a header, in which harvested rows cannot keep their ids: leave out "
            "ingest.format, so that they can be added beside it as JSON lines."
        )
    raise AnnealError(
        f"{source} is read as {first}, to which no rows can be added: save it as JSON lines, so that harvested rows "
        "can be added beside it."
        ""
    )
