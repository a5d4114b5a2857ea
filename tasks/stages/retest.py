"""Makes a dataset of the training rows of one dataset and the test rows of another: what a model learns from pairs or
ratings is measured on the questions, and served by the templates, of the task it is for.
"""

import json
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

LEARNT = {"train": ("train",), "validation": ("validation", "test")}  # of a split: those of the dataset learnt from


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

    Rows of `learnt/` whose question is too similar to a test row of `tested/` are left out; its own test rows, which
    nothing else reads, are for validation. Everything else, a cascade's classifier included, is copied from `tested/`.
    Raises AnnealError if no row is left to train on or to validate with.
    """
    spec = read_json(tested / "format.json")
    asked: list[Prepared] = read_jsonl(tested / "test.jsonl")
    held_out = _questions(asked, spec)
    counts, kept = dict[str, int](), dict[str, list[Prepared]]()
    for split, parts in LEARNT.items():
        rows: list[Prepared] = [row for part in parts for row in read_jsonl(learnt / f"{part}.jsonl")]
        similar = first_like(_questions(rows, spec), held_out, params.contamination_similarity)
        kept[split] = [behind_labels(row, asked[0]) for row, pair in zip(rows, similar, strict=True) if pair is None]
        counts[f"{split}_too_like_test"] = len(rows) - len(kept[split])
        if not kept[split]:
            raise AnnealError(
                f"retest: no row of {params.dataset} is left for {split}: {len(rows)} are for that, all too similar to "
                f"test rows of {params.tested_on}; collect more."
            )
    with whole_directory(out) as folder:
        shutil.copytree(tested, folder, dirs_exist_ok=True)
        for split, rows in kept.items():
            write_jsonl(folder / f"{split}.jsonl", rows)
        shutil.copy(learnt / "dropped.jsonl", folder / "dropped.jsonl")
    sizes = {split: len(rows) for split, rows in kept.items()}
    write_json(report, {**sizes, "test": len(held_out), **counts})
    left_out = sum(counts.values())
    print(f"retest: {sizes['train']} rows to train on, {left_out} too similar to test rows", file=sys.stderr)


def behind_labels(row: Prepared, tested: Prepared) -> Prepared:
    """A row whose answers begin with labels that a classifier predicts, split as those of a cascade are: `given` and
    `rest`. As it is, if `tested` is of no cascade, or an answer begins otherwise.
    """
    columns = _columns(tested.get("given", ""))
    if not columns:
        return row
    mark = f", {json.dumps(columns[-1], ensure_ascii=False)}:"
    beginning, mark_there, rest = row["answer"].partition(mark)
    given = beginning + mark_there
    if _columns(given) != columns or not row.get("rejected", given).startswith(given):
        return row
    return {**row, "given": given, "rest": rest}


def _columns(given: str) -> list[str]:
    """The columns of the beginning of a JSON answer, up to the colon of the last one; none if it is not one."""
    try:
        return list(json.loads(f'{given} ""}}'))
    except ValueError:
        return []


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
