"""Which files of a source are read and which are left out: leaving out data is an error, anything else is reported."""

import re
from dataclasses import dataclass
from pathlib import Path

from tasks.errors import AnnealError
from tasks.stages.ingest.params import Ingest
from tasks.stages.ingest.readers import endings, format_of, reader
from tasks.stages.ingest.readers.images import classes_of, is_image
from tasks.stages.ingest.saved import files_of_saved

OTHER_DATA = re.compile(
    r"\.(avro|orc|xls[xmb]?|ods|numbers|xml|sqlite3?|db|duckdb|pkl|pickle"
    r"|np[yz]|h5|hdf5|dta|sav|rds|gz|zip|7z|rar|tar|tgz|bz2|xz|zst|lz4)",
    re.IGNORECASE,
)
SQLITE = re.compile(r"\.(sqlite3?|db)", re.IGNORECASE)
NO_TEXT = "{} holds no text: remove ingest.split from params.yaml."


@dataclass(frozen=True)
class Listing:
    """The `files` of a source in the order in which they are read, and the names that are `left_out`."""

    files: tuple[Path, ...]
    left_out: tuple[str, ...]


def list_files(params: Ingest, source: Path) -> Listing:
    """The files of `source`: itself, or those of the folder with an extension of the format.

    Extensions count in any case, with or without `.gz` and `.zst`. AnnealError if there is no file, and for files,
    folders and broken links that look like data and would be left out.
    """
    if source.is_file():
        return _single_file(params, source)
    if source.exists() and not source.is_dir():
        raise AnnealError(f"{source} is neither a file nor a folder: correct ingest.source in params.yaml.")
    if not source.is_dir():
        raise AnnealError(f"{source} does not exist: put the data there, or correct ingest.source in params.yaml.")
    entries = sorted(source.iterdir(), key=lambda path: path.name)
    if saved := files_of_saved(source):
        return Listing(saved, ())
    if _is_of_images(params, source):
        return Listing((source,), ())
    files = tuple(path for path in entries if path.is_file() and _is_read(path, params.format))
    if params.format is None:  # a README beside data is not data
        files = tuple(path for path in files if not _is_document(path)) or files
    are_texts = bool(files) and all(map(_is_document, files))
    if params.split and files and not are_texts:
        raise AnnealError(NO_TEXT.format(source))
    lost = [path for path in entries if path not in files and _holds_data(path, are_texts)]
    if lost:
        raise AnnealError(_sentence(source, lost, params.format))
    if not files:
        known = [ending for ending, name in endings().items() if params.format in (None, name)]
        raise AnnealError(
            f"{source} holds no file that ends in {', '.join(known)}: put the data there, or correct ingest.source or "
            "ingest.format in params.yaml."
        )
    images = [path for path in entries if params.image_column and (path.is_dir() or is_image(path))]  # rows name them
    return Listing(files, tuple(path.name for path in entries if path not in files and path not in images))


def _is_of_images(params: Ingest, source: Path) -> bool:
    """Whether a folder is one of images per class: by ingest.format, or because it has no data files and no table of
    images.
    """
    if params.format == "images":
        if not classes_of(source):
            raise AnnealError(f"{source} holds no folder with images: put those of a class into a folder of its name.")
        return True
    if params.format or params.image_column or any(format_of(path) for path in source.iterdir() if path.is_file()):
        return False
    return bool(classes_of(source))


def _single_file(params: Ingest, source: Path) -> Listing:
    """The listing of a source that is a file; AnnealError if it cannot be read."""
    ending = format_of(source)
    if params.image_column or params.format == "images":
        raise AnnealError(
            f"{source} is a file: name the folder in which it lies beside the images as ingest.source, so that DVC "
            "sees when one of them changes."
        )
    if SQLITE.fullmatch(source.suffix):
        raise AnnealError(
            f"{source} is a database, and ingest reads files: name a query of it as `snapshot: {{kind: sql, url: "
            f"sqlite:///{source}, query: select …}}` of the dataset (see README)."
        )
    if OTHER_DATA.fullmatch(source.suffix) and ending is None:
        raise AnnealError(
            f"{source} is not a file that Anneal reads: save its rows as CSV (UTF-8) or JSON lines, and name that "
            "file as ingest.source."
        )
    if params.format is None and ending is None:
        raise AnnealError(
            f"{source} has an extension that does not tell its format: write ingest.format "
            f"({', '.join(sorted(set(endings().values())))}) in params.yaml."
        )
    is_text = reader(params.format or str(ending)).IS_DOCUMENTS
    if params.split and not is_text:
        raise AnnealError(NO_TEXT.format(source))
    if is_text and params.split is None:
        raise AnnealError(
            f"{source} is one file of text: write ingest.split into params.yaml (lines: one row per line; "
            "paragraphs: one row per paragraph; none: a single row), or ingest.format if it is a table."
        )
    return Listing((source,), ())


def _is_read(path: Path, expected: str | None) -> bool:
    ending = format_of(path)
    return ending is not None and expected in (None, ending) and not _is_hidden(path)


def _is_document(path: Path) -> bool:
    ending = format_of(path)
    return ending is not None and reader(ending).IS_DOCUMENTS


def _is_hidden(path: Path) -> bool:
    """A file that is being written has a dot in front."""
    return path.name.startswith(".")


def _holds_data(path: Path, of_text: bool) -> bool:
    """Whether a file, or one below a folder, is named like data; text files count as data only among text files."""
    if _is_hidden(path):
        return False
    if path.is_dir():
        return any(_holds_data(other, of_text) for other in path.iterdir())
    return (format_of(path) is not None and (of_text or not _is_document(path))) or OTHER_DATA.fullmatch(
        path.suffix
    ) is not None


def _sentence(source: Path, lost: list[Path], expected: str | None) -> str:
    names = ", ".join(f"{path.name}/" if path.is_dir() else path.name for path in lost[:5]) + (
        f" and {len(lost) - 5} more" if len(lost) > 5 else ""
    )
    advice = "move them elsewhere"
    if any(path.is_dir() for path in lost):
        advice = "move what is in a folder one level up, or elsewhere"
    elif any(not path.exists() for path in lost):
        advice = "fix the link, or remove it"
    elif expected and all(format_of(path) for path in lost):
        advice = (
            "move them elsewhere, or remove ingest.format from params.yaml, so that each file is read by its ending"
        )
    elif not any(format_of(path) for path in lost):
        advice = "save them as CSV or JSON lines, or move them elsewhere"
    return f"{source} holds data that would be left out: {names}; {advice}."
