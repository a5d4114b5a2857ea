"""Which files of a source are read, and which are left out: data that would be left out stops, all else is named."""

import re
from dataclasses import dataclass
from pathlib import Path

from tasks.errors import AnnealError
from tasks.ingest.params import Format, Ingest

ENDINGS: dict[str, Format] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
}
OTHER_DATA = re.compile(
    r"\.(parquet|arrow|feather|avro|orc|xls[xmb]?|ods|numbers|xml|sqlite3?|db|duckdb|pkl|pickle"
    r"|np[yz]|h5|hdf5|dta|sav|rds|gz|zip|7z|rar|tar|tgz|bz2|xz|zst|lz4)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Listing:
    """The `files` of a source in the order in which they are read, and the names that are `left_out`."""

    files: tuple[Path, ...]
    left_out: tuple[str, ...]


def list_files(params: Ingest, source: Path) -> Listing:
    """What is read of `source`: itself, or the files of the folder whose endings say that they are of the format.

    Endings are read in any case, with or without `.gz`. AnnealError when there is none, and for each file, folder or
    broken link that looks like data and would be left out.
    """
    if source.is_file():
        if OTHER_DATA.fullmatch(source.suffix) and format_of(source) is None:
            raise AnnealError(
                f"{source} is not a file that Anneal reads: save its rows as CSV (UTF-8) or JSON lines, and name that "
                "file as ingest.source."
            )
        if params.format is None and format_of(source) is None:
            raise AnnealError(
                f"{source} does not say by its ending what it holds: write ingest.format (jsonl, json, csv or tsv) in "
                "params.yaml."
            )
        return Listing((source,), ())
    if source.exists() and not source.is_dir():
        raise AnnealError(f"{source} is neither a file nor a folder: correct ingest.source in params.yaml.")
    if not source.is_dir():
        raise AnnealError(f"{source} does not exist: put the data there, or correct ingest.source in params.yaml.")
    entries = sorted(source.iterdir(), key=lambda path: path.name)
    files = tuple(path for path in entries if path.is_file() and _is_read(path, params.format))
    lost = [path for path in entries if path not in files and _holds_data(path)]
    if lost:
        raise AnnealError(_sentence(source, lost, params.format))
    if not files:
        endings = f".{params.format}" if params.format else ", ".join(ENDINGS)
        raise AnnealError(
            f"{source} holds no file that ends in {endings}: put the data there, or correct ingest.source or "
            "ingest.format in params.yaml."
        )
    return Listing(files, tuple(path.name for path in entries if path not in files))


def format_of(path: Path) -> Format | None:
    """The format that the ending of a file says, `.gz` aside; None when it says none."""
    return ENDINGS.get(Path(path.name.lower().removesuffix(".gz")).suffix)


def _is_read(path: Path, wanted: Format | None) -> bool:
    ending = format_of(path)
    return ending is not None and wanted in (None, ending) and not _is_hidden(path)


def _is_hidden(path: Path) -> bool:
    """A file that is being written has a dot in front."""
    return path.name.startswith(".")


def _holds_data(path: Path) -> bool:
    """Whether a file, or a folder with any such file beneath, is called like data."""
    if _is_hidden(path):
        return False
    if path.is_dir():
        return any(_holds_data(other) for other in path.iterdir())
    return format_of(path) is not None or OTHER_DATA.fullmatch(path.suffix) is not None


def _sentence(source: Path, lost: list[Path], wanted: Format | None) -> str:
    names = ", ".join(f"{path.name}/" if path.is_dir() else path.name for path in lost[:5]) + (
        f" and {len(lost) - 5} more" if len(lost) > 5 else ""
    )
    advice = "move them elsewhere"
    if any(path.is_dir() for path in lost):
        advice = "move what is in a folder one level up, or elsewhere"
    elif any(not path.exists() for path in lost):
        advice = "mend the link, or remove it"
    elif wanted and all(format_of(path) for path in lost):
        advice = (
            "move them elsewhere, or take ingest.format out of params.yaml, so that each file is read by its ending"
        )
    elif not any(format_of(path) for path in lost):
        advice = "save them as CSV or JSON lines, or move them elsewhere"
    return f"{source} holds data that would be left out: {names}; {advice}."
