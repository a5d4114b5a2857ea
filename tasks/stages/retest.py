"""Makes a dataset of the training rows of one dataset and the test rows of another: what a model learns from pairs or
ratings is measured on the questions, and served by the templates, of the task it is for.
"""

import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field

from tasks import stage
from tasks.dataset.rows import Prepared, prompt
from tasks.errors import AnnealError
from tasks.files import read_json, read_jsonl, whole_directory, write_json, write_jsonl
from tasks.section import Section
from tasks.texts import template
from tasks.texts.duplicates import first_like

LEARNT = ("train.jsonl", "validation.jsonl")


class Retest(Section):
    """A row of `retests`: a dataset that is learnt from, and another whose test rows are answered."""

    dataset: Annotated[str, Field(description="row of datasets or mixes with the rows for training and validation")]
    tested_on: Annotated[
        str, Field(description="row of datasets, mixes or cascades with the test rows and the templates")
    ]
    contamination_similarity: Annotated[
        float, Field(gt=0, le=1, description="rows at least this similar to a test row are left out")
    ] = 0.6


def retest(params: Retest, learnt: Path, tested: Path, out: Path, report: Path) -> None:
    """Write `out/` like a prepared dataset, and counts to `report`.

    Rows of `learnt/` whose question is too similar to a test row of `tested/` are left out; everything else, a
    cascade's classifier included, is copied from `tested/`. Raises AnnealError if no row is left to train on.
    """
    spec = read_json(tested / "format.json")
    held_out = _questions(read_jsonl(tested / "test.jsonl"), spec)
    counts, kept = dict[str, int](), dict[str, list[Prepared]]()
    for name in LEARNT:
        rows: list[Prepared] = read_jsonl(learnt / name)
        similar = first_like(_questions(rows, spec), held_out, params.contamination_similarity)
        kept[name] = [row for row, pair in zip(rows, similar, strict=True) if pair is None]
        counts[f"{name.partition('.')[0]}_too_like_test"] = len(rows) - len(kept[name])
    for name, rows in kept.items():
        if not rows:
            raise AnnealError(
                f"retest: no row of {params.dataset} is left for {name.partition('.')[0]}: it has too few, or they are "
                f"too similar to test rows of {params.tested_on}; collect more."
            )
    with whole_directory(out) as folder:
        shutil.copytree(tested, folder, dirs_exist_ok=True)
        for name, rows in kept.items():
            write_jsonl(folder / name, rows)
        shutil.copy(learnt / "dropped.jsonl", folder / "dropped.jsonl")
    sizes = {name.partition(".")[0]: len(rows) for name, rows in kept.items()}
    write_json(report, {**sizes, "test": len(held_out), **counts})
    left_out = sum(counts.values())
    print(f"retest: {sizes['train']} rows to train on, {left_out} too similar to test rows", file=sys.stderr)


def _questions(rows: Sequence[Prepared], spec: Mapping[str, object]) -> list[str]:
    """The question of each row without the words of the template in `spec`, where it can be read backwards."""
    user = str(spec["user"])
    columns = template.columns(user)
    return [_question(row, user, columns) for row in rows]


def _question(row: Prepared, user: str, columns: Sequence[str]) -> str:
    cells = row["row"] if set(columns) <= row["row"].keys() else template.invert(prompt(row), user, columns[:-1])
    return "\n".join(cells[name] for name in columns) if cells else prompt(row)


if __name__ == "__main__":
    stage.main(retest, Retest, "retests.{row}")
