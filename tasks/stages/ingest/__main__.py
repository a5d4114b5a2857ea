"""Takes a snapshot of a source: its rows as JSON lines, each with an id, and a manifest of what was read."""

import sys
from pathlib import Path

from tasks import stage
from tasks.errors import AnnealError
from tasks.files import whole_directory, write_json, write_jsonl
from tasks.stages.ingest import pictures
from tasks.stages.ingest.params import Ingest
from tasks.stages.ingest.source import Snapshot, take_snapshot, version


def ingest(params: Ingest, out: Path) -> None:
    """Write `out/rows.jsonl` (id first, then the columns), `out/manifest.json`, which names each file that was read,
    and the images that rows name, by the hash of their bytes.

    Raises AnnealError naming file and line for a row that is broken, not Unicode, or lacks a column.
    """
    source = Path(params.source).expanduser()
    snapshot = take_snapshot(params, source)
    if not snapshot.rows:
        raise AnnealError(f"{source} has no rows.")
    image_column = pictures.column(snapshot.listing.files[0], params)
    with whole_directory(out) as folder:
        kept = pictures.store_images(snapshot.rows, image_column, folder, out) if image_column else None
        write_jsonl(folder / "rows.jsonl", snapshot.rows)
        more = {} if kept is None else {"images": kept}
        write_json(folder / "manifest.json", {**manifest(params, snapshot, source), **more})
    if kept and kept["missing"]:
        print(f"ingest: {kept['missing']} rows name an image that is not there", file=sys.stderr, flush=True)
    for line in notes(snapshot):
        print(f"ingest: {line}", file=sys.stderr, flush=True)


def manifest(params: Ingest, snapshot: Snapshot, source: Path) -> dict[str, object]:
    """The contents of manifest.json: what was read of `source`, and what was left out."""
    more = {"license": params.license, "times_as_text": dict(snapshot.times)}
    return {
        "source": str(source),
        "files": snapshot.files,
        "sha256": version(snapshot.files),
        "bytes": sum(file["bytes"] for file in snapshot.files),
        "rows": len(snapshot.rows),
        "columns": list(snapshot.columns),
        "left_out_files": list(snapshot.listing.left_out),
        "left_out_columns": list(snapshot.other_columns),
        "numbers_as_text": dict(snapshot.numbers),
    } | {name: value for name, value in more.items() if value}


def notes(snapshot: Snapshot) -> list[str]:
    """What a person should know about a snapshot, one line each."""
    lines = []
    if names := snapshot.listing.left_out:
        lines.append(f"left out, because their names are not those of data files: {', '.join(names)}")
    if snapshot.nameless:
        counts = ", ".join(f"{count} cells in {column.strip('()')}" for column, count in snapshot.nameless.items())
        lines.append(f"left out, because the header names no column for them: {counts}")
    if snapshot.numbers:
        counts = ", ".join(f"{count} in `{column}`" for column, count in snapshot.numbers.items())
        lines.append(f"numbers, true and false are read as texts, as they are written: {counts}")
    if snapshot.times:
        counts = ", ".join(f"{count} in `{column}`" for column, count in snapshot.times.items())
        lines.append(f"dates and times are read as texts (ISO 8601): {counts}")
    return lines


if __name__ == "__main__":
    stage.main(ingest, Ingest, "datasets.{row}.ingest")
