"""The rows of a source, file by file, each with an id; or the first few."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple, TypedDict

from tasks.errors import AnnealError, listed
from tasks.files import sha256
from tasks.stages.ingest import pictures
from tasks.stages.ingest.json_rows import value_of
from tasks.stages.ingest.listing import Listing, list_files
from tasks.stages.ingest.params import Ingest
from tasks.stages.ingest.readers import name_of, reader
from tasks.stages.ingest.separated_values import UNNAMED
from tasks.stages.ingest.values import Number, Time, as_json, as_text
from tasks.texts.clean import clean, has_half_character

ID = "id"


class FileRead(TypedDict):
    """What the manifest records about a file."""

    name: str
    sha256: str
    bytes: int
    rows: int


class Peek(NamedTuple):
    """The columns of a source, without its ids, and its first rows."""

    columns: tuple[str, ...]
    rows: tuple[dict[str, str], ...]


@dataclass
class Snapshot:
    """The rows of a source, the files and columns that are left out, and how many numbers and times became texts."""

    listing: Listing
    columns: tuple[str, ...] = ()
    rows: list[dict[str, str]] = field(default_factory=list)
    files: list[FileRead] = field(default_factory=list)
    other_columns: dict[str, None] = field(default_factory=dict)  # an ordered set
    numbers: Counter[str] = field(default_factory=Counter)  # column: values
    times: Counter[str] = field(default_factory=Counter)
    nameless: Counter[str] = field(
        default_factory=Counter
    )  # column that has no name and is left out for that: cells that hold something


def take_snapshot(params: Ingest, source: Path) -> Snapshot:
    """All rows of `source`; AnnealError names file and line of the first row that is not well-formed."""
    snapshot = Snapshot(_listed(params, source.expanduser()))
    places: dict[str, tuple[dict[str, str], str]] = {}
    columns: tuple[str, ...] | None = None
    for path in snapshot.listing.files:
        before = len(snapshot.rows)
        for where, raw in _rows(path, params):
            columns = columns or _columns(params, raw, where)
            row = _with_id(raw, columns, where, params)
            _refuse_repeated_id(row, where, places)
            plain = [column for column in columns if column not in params.json_columns]
            snapshot.numbers.update(column for column in plain if isinstance(raw.get(column), Number | bool))
            snapshot.times.update(column for column in plain if isinstance(raw.get(column), Time))
            if params.columns is None:
                snapshot.nameless.update(
                    key for key, text in raw.items() if UNNAMED.fullmatch(key) and str(text).strip()
                )
            snapshot.other_columns.update(dict.fromkeys(key for key in raw if key not in columns and key != ID))
            snapshot.rows.append(row)
        snapshot.files.append(
            {
                "name": path.name,
                "sha256": sha256(path),
                "bytes": _size(path),
                "rows": len(snapshot.rows) - before,
            }
        )
    snapshot.columns = columns or tuple(params.columns or ())
    return snapshot


def _size(path: Path) -> int:
    """Bytes of a file, or of all files of a folder of images."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def is_image_folder(params: Ingest) -> bool:
    """Whether the source is a folder with a folder of images per class."""
    return any(path.is_dir() for path in _listed(params, Path(params.source).expanduser()).files)


def read(params: Ingest, source: Path) -> tuple[list[dict[str, str]], list[FileRead]]:
    """(rows with their ids, record of each file) of `source`."""
    snapshot = take_snapshot(params, source)
    return snapshot.rows, snapshot.files


def peek(params: Ingest, source: Path | None = None, count: int = 5) -> Peek:
    """The columns and the first `count` rows, without reading the rest; AnnealError as in `take_snapshot`."""
    listing = _listed(params, (source or Path(params.source)).expanduser())
    rows: list[dict[str, str]] = []
    columns: tuple[str, ...] | None = None
    for path in listing.files:
        for where, raw in islice(_rows(path, params), count - len(rows)):
            columns = columns or _columns(params, raw, where)
            rows.append(_with_id(raw, columns, where, params))
        if len(rows) >= count:
            break
    return Peek(columns or tuple(column for column in params.columns or () if column != ID), tuple(rows))


def first_as_read(params: Ingest, count: int = 1000) -> list[Mapping[str, object]]:
    """The first `count` rows with all columns and values unconverted; AnnealError if they cannot be read."""
    files = _listed(params, Path(params.source).expanduser()).files
    return [row for _, row in islice(chain.from_iterable(_rows(path, params) for path in files), count)]


def with_columns(params: Ingest, source: Path) -> Ingest:
    """`params` with the columns of the source, unless they are set; AnnealError if it has no rows."""
    if params.columns is not None:
        return params
    columns = peek(params, source, count=1).columns
    if not columns:
        raise AnnealError(f"{source} has no rows.")
    return params.model_copy(update={"columns": list(columns)})


def source_files(params: Ingest, source: Path) -> list[Path]:
    """The files of `source`, in the order in which they are read."""
    return list(list_files(params, source.expanduser()).files)


def version(files: Sequence[Mapping[str, object]]) -> str:
    """One hash of the content of all files, whatever their names; of a single file its own, so that moving it makes no
    new version.
    """
    hashes = [str(file["sha256"]) for file in files]
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("\n".join(hashes).encode()).hexdigest()


def _listed(params: Ingest, source: Path) -> Listing:
    """The files of `source`; AnnealError if ingest.header is set for formats without headers."""
    listing = list_files(params, source)
    names = [name_of(path, params) for path in listing.files]
    if params.header is not None and names and not any(reader(name).HAS_HEADER for name in names):
        raise AnnealError(
            f"{source}: ingest.header is {str(params.header).lower()}, and a file of {names[0]} has no optional "
            "header; leave it out."
        )
    return listing


def _rows(path: Path, params: Ingest) -> Iterator[tuple[str, Mapping[str, object]]]:
    """(file and line or row, row) of each row; JSON text in ingest.json_columns is parsed."""
    kind = reader(name_of(path, params))
    json_texts = () if kind.IS_TYPED_JSON else params.json_columns
    image_column = pictures.column(path, params)
    for number, row in kind.read(path, params):
        where = f"{path}, {kind.UNIT} {number}"
        if image_column and image_column in row:
            row = {**row, image_column: pictures.image_path(row[image_column], path, where)}
        texts = [name for name in json_texts if isinstance(row.get(name), str)]
        values = {name: value_of(str(row[name]), f"{where}: `{name}`") for name in texts}
        yield where, {**row, **values} if values else row


def _columns(params: Ingest, row: Mapping[str, object], where: str) -> tuple[str, ...]:
    """The columns to read, without the id: those that are named, or all of the first row."""
    columns = tuple(
        key
        for key in params.columns or dict.fromkeys([*row, *params.optional_columns])
        if key != ID and not (params.columns is None and UNNAMED.fullmatch(key))
    )
    if not columns:
        raise AnnealError(f"{where}: has no column but the id; a row needs a text at least.")
    named = [*params.json_columns, *([params.image_column] if params.image_column else [])]
    if missing := [column for column in named if column not in columns]:
        key = "json_columns" if missing[0] in params.json_columns else "image_column"
        raise AnnealError(
            f"{where}: has no `{missing[0]}`; correct ingest.{key} in params.yaml (the row has "
            f"{', '.join(f'`{column}`' for column in columns[:20])})."
        )
    if halves := [column for column in columns if has_half_character(column)]:
        raise AnnealError(
            f"{where}: the key {json.dumps(halves[0])} holds half of a surrogate pair (\\ud800 to \\udfff); write the "
            "whole character."
        )
    return columns


def _with_id(row: Mapping[str, object], columns: tuple[str, ...], where: str, params: Ingest) -> dict[str, str]:
    """The row's id and columns as texts; a row without id gets one made from its content. Unless ingest.columns names
    the columns, AnnealError for a row with others than the first.
    """
    for column in columns:
        if column not in row and column not in params.optional_columns:
            has = listed(list(row)[:20]) or "nothing"
            raise AnnealError(
                f"{where}: has no `{column}`; add it, or correct ingest.columns in params.yaml (the row has {has})."
            )
    others = [key for key in row if key not in columns and key != ID and not UNNAMED.fullmatch(key)]
    if params.columns is None and others:
        raise AnnealError(
            f"{where}: has `{others[0]}`, which the first row lacks; name the columns to take under ingest.columns in "
            "params.yaml."
        )
    texts = {column: _text(row.get(column), column, where, params) for column in columns}
    identity = "" if row.get(ID) is None else clean(as_text(row[ID], f"{where}: `{ID}`"))
    digest = hashlib.sha256(json.dumps(texts, ensure_ascii=False, sort_keys=True).encode()).hexdigest()[:12]
    return {ID: identity or digest, **texts}


def _text(value: object, column: str, where: str, params: Ingest) -> str:
    if value is None and column in params.optional_columns:
        return ""
    return (as_json if column in params.json_columns else as_text)(value, f"{where}: `{column}`")


def _refuse_repeated_id(row: dict[str, str], where: str, places: dict[str, tuple[dict[str, str], str]]) -> None:
    """Raise AnnealError for two different rows with one id; the same row twice is left to prepare's deduplication."""
    other, first = places.setdefault(row[ID], (row, where))
    if other != row:
        (file, _, place), (other_file, _, other_place) = where.rpartition(", "), first.rpartition(", ")
        if file == other_file:  # line 1, line 2
            unit, number = place.split(" ")
            where, first = f"{file}, {unit}s {other_place.split(' ')[1]} and {number}", ""
        raise AnnealError(
            f"{first}{', and ' if first else ''}{where}: two different rows have the id {row[ID]}; give each its own."
        )
