"""Harvested rows as a file of the dataset's source stores them."""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path

from tasks.files import write_jsonl, write_text
from tasks.retrain.sift import Candidate
from tasks.section import Section
from tasks.stages.prepare import shapes


def stored_row(
    candidate: Candidate, columns: Sequence[str], of_json: Sequence[str], prepare: Section
) -> dict[str, object]:
    """Return a row as a file of the source stores it; the columns `of_json` are parsed JSON."""
    source_row = shapes.of(prepare).source_row(candidate.row, prepare) or {}
    cells = {column: source_row.get(column, "") for column in columns}
    values = {column: json.loads(cells[column] or "null") for column in of_json}
    return {"id": f"feedback-{candidate.request}", **cells, **values}


def write_rows(file: Path, rows: Sequence[dict[str, object]]) -> None:
    """Write rows with equal columns to `file`: as CSV or TSV by its name, else as JSON lines."""
    if file.suffix not in (".csv", ".tsv"):
        return write_jsonl(file, rows)
    table = io.StringIO(newline="")
    writer = csv.DictWriter(
        table, list(rows[0]), delimiter="\t" if file.suffix == ".tsv" else ",", quoting=csv.QUOTE_ALL
    )
    writer.writeheader()
    writer.writerows(rows)
    return write_text(file, table.getvalue())
