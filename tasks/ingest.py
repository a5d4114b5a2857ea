"""Takes a snapshot of a source: the same rows as JSON lines, each with an id, and a manifest that says what was read."""

import csv
import hashlib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from tasks import stage
from tasks.errors import AnnealError
from tasks.files import whole_directory, write_json, write_jsonl
from tasks.section import Section


class Ingest(Section):
    """A source, a file or a folder of files, and the columns that each of its rows must have."""

    source: str = Field(description="path of a file, or of a folder whose files of this format are read in the order of their names")
    format: Literal["jsonl", "csv"] | None = Field(default=None, description="that of the files' ending when not given")
    columns: Annotated[list[str], Field(min_length=1, description="text columns that every row has; those of the first row when not given")] | None = None


def ingest(params: Ingest, out: Path) -> None:
    """Write `out/rows.jsonl` (id first, then the columns) and `out/manifest.json`, which names each file that was read.

    Raises AnnealError naming file and line for a row that is broken, not UTF-8, or lacks a column.
    """
    source = Path(params.source).expanduser()
    params = resolved(params, source)
    rows, files = read(params, source)
    if not rows:
        raise AnnealError(f"{source} has no rows.")
    with whole_directory(out) as folder:
        write_jsonl(folder / "rows.jsonl", rows)
        total = {name: sum(file[name] for file in files) for name in ("bytes", "rows")}
        manifest = {"source": str(source), "files": files, "sha256": version(files), **total, "columns": params.columns}
        write_json(folder / "manifest.json", manifest)


def resolved(params: Ingest, source: Path) -> Ingest:
    """`params` with the format and the columns that `source` has, where they are not given; AnnealError when it does not tell."""
    if not source.exists():
        raise AnnealError(f"{source} does not exist: put the data there, or correct ingest.source in params.yaml.")
    if params.format is None:
        files = [source] if source.is_file() else [path for path in source.iterdir() if path.is_file() and not path.name.startswith(".")]
        kinds = sorted({path.suffix[1:] for path in files} & READERS.keys())
        if len(kinds) != 1:
            endings = " and ".join(f"*.{kind}" for kind in kinds) or f"no {' or '.join(f'*.{kind}' for kind in READERS)} file"
            raise AnnealError(f"{source} holds {endings}: say which is read, as ingest.format in params.yaml.")
        params = params.model_copy(update={"format": kinds[0]})
    if params.columns is None:
        first = next((row for path in sources(params, source) for _, row in READERS[params.format](_decode(path.read_bytes(), path), path)), None)
        if first is None:
            raise AnnealError(f"{source} has no rows.")
        params = params.model_copy(update={"columns": list(first)})
    return params


def read(params: Ingest, source: Path) -> tuple[list[dict], list[dict]]:
    """(rows with their ids, `{name, sha256, bytes, rows}` of each file) of `source`, file by file; `params` as `resolved`."""
    rows, files, places = [], [], {}
    for path in sources(params, source):
        content = path.read_bytes()
        found = [_with_id(row, params.columns, path, line) for line, row in READERS[params.format](_decode(content, path), path)]
        for row in found:
            _refuse_repeated_id(row, path, places)
        rows += found
        files.append({"name": path.name, "sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content), "rows": len(found)})
    return rows, files


def sources(params: Ingest, source: Path) -> list[Path]:
    """The files of `source`: itself, or those in the folder that have the format's ending, sorted by name; AnnealError when there is none."""
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise AnnealError(f"{source} does not exist: put the data there, or correct ingest.source in params.yaml.")
    # A file that is being written has a name with a dot in front.
    found = sorted((path for path in source.glob(f"*.{params.format}") if path.is_file() and not path.name.startswith(".")), key=lambda path: path.name)
    if not found:
        raise AnnealError(f"{source} holds no *.{params.format} file: put the data there, or correct ingest.source or ingest.format in params.yaml.")
    return found


def version(files: list[dict]) -> str:
    """One hash for the content of all files, whatever they are called: a lone file's own, so that moving it makes no new version."""
    hashes = [file["sha256"] for file in files]
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("\n".join(hashes).encode()).hexdigest()


def _decode(content: bytes, source: Path) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise AnnealError(f"{source}, line {line}: not UTF-8 (byte 0x{content[error.start]:02x}); save the file as UTF-8.") from None


def _read_jsonl(text: str, source: Path) -> Iterator[tuple[int, dict]]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise AnnealError(f"{source}, line {number}: not valid JSON ({error}); mend or remove the line.") from None
        if not isinstance(row, dict):
            raise AnnealError(f"{source}, line {number}: holds {type(row).__name__}, not an object with columns; mend or remove the line.")
        yield number, row


def _read_csv(text: str, source: Path) -> Iterator[tuple[int, dict]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    header, last = None, 0
    try:
        for cells in reader:
            first, last = last + 1, reader.line_num  # a row with line breaks in its cells is named by its first line
            if header is None or not cells:
                header = header or cells
                continue
            if len(cells) != len(header):
                raise AnnealError(f"{source}, line {first}: has another number of cells than the header ({len(cells)}, not {len(header)}); mend the row.")
            yield first, dict(zip(header, cells, strict=True))
    except csv.Error as error:
        raise AnnealError(f"{source}, line {last + 1}: not valid CSV ({error}); mend the row.") from None


READERS = {"jsonl": _read_jsonl, "csv": _read_csv}


def _with_id(row: dict, columns: list[str], source: Path, line: int) -> dict:
    """The row's id and columns; without an id of its own, one made from its content (the same text, the same id)."""
    for column in columns:
        if column not in row:
            raise AnnealError(f"{source}, line {line}: has no `{column}`; add it, or correct ingest.columns in params.yaml.")
        if not isinstance(row[column], str):
            raise AnnealError(f"{source}, line {line}: `{column}` is {json.dumps(row[column])[:40]}, not a text; put it in quotes.")
        if any("\ud800" <= character <= "\udfff" for character in row[column]):  # JSON can write them, UTF-8 cannot
            raise AnnealError(f"{source}, line {line}: `{column}` holds half of a surrogate pair (\\ud800 to \\udfff); write the whole character.")
    kept = {column: row[column] for column in columns if column != "id"}
    made = hashlib.sha256(json.dumps(kept, ensure_ascii=False, sort_keys=True).encode()).hexdigest()[:12]
    return {"id": str(row.get("id", made)), **kept}


def _refuse_repeated_id(row: dict, path: Path, places: dict[str, tuple[dict, Path]]) -> None:
    """Two different rows under one id would be mixed up later; the same row twice is left to prepare's deduplication."""
    other, first = places.setdefault(row["id"], (row, path))
    if other != row:
        where = f"{path}" if first == path else f"{first} and {path}"
        raise AnnealError(f"{where}: two different rows have the id {row['id']}; give each its own.")


if __name__ == "__main__":
    stage.main(ingest, Ingest, "datasets.{row}.ingest")
