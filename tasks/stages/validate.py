"""Checks raw rows against a Great Expectations suite; rows that break a row rule go to quarantine, with the reason."""

import json
from pathlib import Path
from typing import Annotated

from pydantic import Field

from tasks import stage
from tasks.dataset.expectations import Broken, check
from tasks.errors import AnnealError
from tasks.files import read_jsonl, whole_directory, write_json, write_jsonl
from tasks.section import Section
from tasks.texts.clean import clean

Rows = list[dict[str, str]]


class Validate(Section):
    """The share of rows that may be set aside before the pipeline stops."""

    max_quarantined_share: Annotated[float, Field(ge=0, le=1, description="share of rows")] = 0.02


def validate(params: Validate, raw: Path, suite: Path, out: Path, docs: Path, report: Path) -> None:
    """Write `out/rows.jsonl`, `out/quarantine.jsonl` (the row and its reasons) and `out/limits.json`, Data Docs in
    `docs/`, figures in `report`.

    Raises AnnealError if more than the allowed share of rows breaks row rules (the message names the expectation, the
    column, the share and three example rows), or if a table rule does not hold for the rows that are left.
    """
    rows = read_jsonl(raw / "rows.jsonl")
    # Rows are checked as they will be trained on: trailing blanks do not make a text long enough.
    broken = check([{name: clean(text) for name, text in row.items()} for row in rows], suite, docs, "raw")
    kept, quarantined = separate(rows, broken)
    where = f"see {docs / 'index.html'}; fix the data, or the rule in {suite}"
    _refuse_many(rows, kept, broken, params.max_quarantined_share, where)
    _refuse_table(len(kept), len(quarantined), broken, where)
    counts = {"rows": len(rows), "quarantined": len(quarantined)}
    with whole_directory(out) as folder:
        write_jsonl(folder / "rows.jsonl", kept)
        write_jsonl(folder / "quarantine.jsonl", quarantined)
        # prepare continues these counts
        write_json(folder / "limits.json", {**counts, "max_quarantined_share": params.max_quarantined_share})
    share, rules = len(quarantined) / len(rows), sorted(rule.reason() for rule in broken)
    write_json(report, {**counts, "kept": len(kept), "quarantined_share": share, "broken_rules": rules})


def _refuse_many(rows: Rows, kept: Rows, broken: list[Broken], allowed: float, where: str) -> None:
    """Raise AnnealError if more than the share `allowed` of the rows, or all, break row rules."""
    share = (len(rows) - len(kept)) / len(rows)
    if not share or (share <= allowed and kept):
        return
    worst = max(broken, key=lambda rule: len(rule.rows))
    failing = [rows[index] for index in worst.rows]
    raise AnnealError(
        f"{share:.1%} of {len(rows)} rows break row rules (validate.max_quarantined_share allows {allowed:.1%}); "
        f"most often {worst.reason()}, {len(failing) / len(rows):.1%}, for example {examples(failing[:3], worst)}; "
        f"{where}."
    )


def _refuse_table(kept: int, quarantined: int, broken: list[Broken], where: str) -> None:
    """Raise AnnealError if a table rule does not hold for the rows that are kept."""
    for rule in broken:
        if not rule.is_row_rule:
            without = f", without the {quarantined} that are set aside" if quarantined else ""
            raise AnnealError(
                f"table rule {rule.reason()} does not hold for {kept} rows{without}: observed {rule.observed!r}; "
                f"{where}."
            )


def separate(rows: Rows, broken: list[Broken]) -> tuple[Rows, list[dict[str, object]]]:
    """The rows that break no row rule, and those that do, each with its `reasons`; every row is in exactly one of
    the two.
    """
    reasons: dict[int, list[str]] = {}
    for rule in broken:
        for index in rule.rows:
            reasons.setdefault(index, []).append(rule.reason())
    kept = [row for index, row in enumerate(rows) if index not in reasons]
    return kept, [{**rows[index], "reasons": broken_rules} for index, broken_rules in sorted(reasons.items())]


def examples(rows: Rows, rule: Broken) -> str:
    """Up to three rows as `id: value`, truncated, for a message."""
    columns = [column for column in rule.column.split(", ") if rows and column in rows[0]]
    shown = [
        f"{row['id']}: {json.dumps([row[column] for column in columns] or list(row.values()), ensure_ascii=False)[:80]}"
        for row in rows
    ]
    return "; ".join(shown)


if __name__ == "__main__":
    stage.main(validate, Validate, "datasets.{row}.validate")
