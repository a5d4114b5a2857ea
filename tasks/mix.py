"""Adds a share of another data set's training rows to those of a data set: general rows against forgetting, or several
tasks in one model. A mix is a data set to what comes after it, and so may be mixed again.
"""

import hashlib
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from tasks import stage, template
from tasks.duplicates import first_like
from tasks.errors import AnnealError
from tasks.files import read_json, read_jsonl, whole_directory, write_json, write_jsonl
from tasks.section import Section

Row = dict[str, Any]
KEPT = ("validation.jsonl", "test.jsonl", "dropped.jsonl", "format.json")  # of the data set that is mixed into


class Mix(Section):
    """A row of `mixes`: what is mixed into what."""

    dataset: Annotated[str, Field(description="a row of datasets or mixes: validation and test rows are its own")]
    other: Annotated[str, Field(description="a row of datasets or mixes, whose training rows are added")]
    share: Annotated[float, Field(gt=0, lt=1, description="share of the training rows that the other's are to be")] = (
        0.2
    )
    contamination_similarity: Annotated[
        float, Field(gt=0, le=1, description="to a held-out row, from which on a row of the other is left out")
    ] = 0.6
    seed: Annotated[int, Field(ge=0, description="of the rows that are picked")] = 42


def mix(params: Mix, prepared: Path, other: Path, out: Path, report: Path) -> None:
    """Write `out/` like a prepared data set, and counts to `report`.

    Its training rows are those of `prepared/` and, behind them, rows of `other/` picked by the hash of seed and id;
    all else is `prepared/`'s. Raises AnnealError when no row of the other is left to add.
    """
    rows, others = read_jsonl(prepared / "train.jsonl"), read_jsonl(other / "train.jsonl")
    held_out = [row for name in ("validation", "test") for row in read_jsonl(prepared / f"{name}.jsonl")]
    wanted = max(1, round(len(rows) * params.share / (1 - params.share)))
    asked = _questions(others, read_json(other / "format.json"))
    near = first_like(asked, _questions(held_out, read_json(prepared / "format.json")), params.contamination_similarity)
    clean = [row for row, pair in zip(others, near, strict=True) if pair is None]
    if not clean:
        raise AnnealError(
            f"mix: all {len(others)} training rows of {params.other} are too like held-out rows of {params.dataset}; "
            "mix in another data set."
        )
    picked = pick(clean, wanted, params.seed)
    if len(picked) < wanted:
        print(
            f"mix: {params.other} has {len(picked)} rows to add, {wanted} were wanted for a share of {params.share:g}",
            file=sys.stderr,
        )
    with whole_directory(out) as folder:
        for name in KEPT:
            shutil.copy(prepared / name, folder / name)
        named = [{**row, "id": f"{params.other}:{row['id']}"} for row in picked]
        write_jsonl(folder / "train.jsonl", [*rows, *named])
    write_json(
        report,
        {
            "rows": len(rows),
            "added": len(picked),
            "share": len(picked) / (len(rows) + len(picked)),
            "too_like_held_out": len(others) - len(clean),
        },
    )


def pick(rows: Sequence[Row], count: int, seed: int) -> list[Row]:
    """At most `count` of `rows`, in their order: those whose hash of `seed` and id is smallest, so that a row more in
    the source changes at most one.
    """
    smallest = sorted(range(len(rows)), key=lambda place: _digest(f"{seed} {rows[place]['id']}"))[:count]
    return [rows[place] for place in sorted(smallest)]


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _questions(rows: Sequence[Row], form: Mapping[str, Any]) -> list[str]:
    """What each row asks, without the words of its template; of a text all of it."""
    columns = template.columns(form["user"])
    return ["\n".join(row["row"][name] for name in columns if name in row["row"]) or row["answer"] for row in rows]


if __name__ == "__main__":
    stage.main(mix, Mix, "mixes.{row}")
