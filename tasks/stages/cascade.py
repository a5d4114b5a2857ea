"""Turns the rows of a dataset into those of a cascade: a classifier predicts the first columns of each answer, and the
model trained on the result writes the rest. To later stages a cascade is a dataset.

A row is one of the dataset with `given`, the beginning of its answer, and `rest`. In training and validation the
labels are the right ones; in the test rows they are those that the classifier tells, as it will when both are served.
"""

import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field

from tasks import stage
from tasks.dataset.prepared import splits
from tasks.dataset.rows import Prepared
from tasks.errors import AnnealError
from tasks.files import read_json, read_jsonl, whole_directory, write_json, write_jsonl
from tasks.models import encoder, heads, labeller
from tasks.section import Section
from tasks.texts.clean import folded

LEARNT = ("train.jsonl", "validation.jsonl")
SHOWN = 5  # ids in a sentence


class Cascade(Section):
    """A row of `cascades`: whose answers are begun, and by which classifier."""

    dataset: Annotated[str, Field(description="row of datasets or mixes with JSON answers")]
    model: Annotated[str, Field(description="row of models that predicts the first columns of the answers")]
    trained_on: Annotated[str, Field(description="dataset of that model, none of whose training rows may be tested on")]


def cascade(
    params: Cascade, prepared: Path, learnt: Path, weights: Path, adapter: Path, out: Path, report: Path
) -> None:
    """Write `out/` like a prepared dataset, with the classifier in `out/labeller/`; `report/cascade.json`: of each
    column the share of test rows of which the classifier tells the right class; and `report/timing.json`: the seconds
    that it takes for a row.

    `learnt/`: what the classifier in `weights/` and `adapter/` was trained on. Raises AnnealError when that holds a row
    that is held out here, as figures of a classifier that knows the answers would say nothing.
    """
    form = read_json(prepared / "format.json")
    columns, count = form["answer"], len(heads.facts(adapter)["classes"])
    rows = splits(prepared)
    _refuse_known(params, rows, learnt)
    with whole_directory(out) as folder:
        labeller.write(weights, adapter, columns, folder / labeller.FOLDER)
        teller = labeller.load(folder / labeller.FOLDER)
        parted = {name: [_parted(row, columns, count) for row in split] for name, split in rows.items()}
        started = time.perf_counter()
        begun = [labeller.tell(teller, row["messages"]) for row in parted["test"]]
        seconds = time.perf_counter() - started
        figures = labeller.agreement(parted["test"], begun, columns[:count])
        parted["test"] = [{**row, "given": given} for row, given in zip(parted["test"], begun, strict=True)]
        for name, split in parted.items():
            write_jsonl(folder / f"{name}.jsonl", split)
        for name in ("dropped.jsonl", "format.json"):
            shutil.copy(prepared / name, folder / name)
    write_json(report / "cascade.json", {"test_rows": len(begun), "right": figures})
    write_json(report / "timing.json", {"seconds_per_answer": seconds / len(begun)})
    shares = ", ".join(f"{column} {share:.1%}" for column, share in figures.items())
    print(f"cascade: {params.model} tells of {len(begun)} test rows right: {shares}", file=sys.stderr, flush=True)


def _parted(row: Prepared, columns: Sequence[str], count: int) -> Prepared:
    given, rest = labeller.parts(row, columns, count)
    return {**row, "given": given, "rest": rest}


def _refuse_known(params: Cascade, rows: dict[str, list[Prepared]], learnt: Path) -> None:
    """Raise AnnealError for rows that are held out and that the classifier was trained on, or, of test rows, chosen
    by.
    """
    trained, chosen = ({folded(encoder.question(row)) for row in read_jsonl(learnt / name)} for name in LEARNT)
    for name, known in (("test", trained | chosen), ("validation", trained)):
        ids = [str(row["id"]) for row in rows[name] if folded(encoder.question(row)) in known]
        if ids:
            more = f" and {len(ids) - SHOWN} more" if len(ids) > SHOWN else ""
            raise AnnealError(
                f"cascade: {params.model} was trained on {', '.join(ids[:SHOWN])}{more}, which {params.dataset} holds "
                f"out ({name}): its predictions for them say nothing about its quality; give {params.trained_on} the "
                "seed, "
                f"the shares and the user template of {params.dataset}."
            )


if __name__ == "__main__":
    stage.main(cascade, Cascade, "cascades.{row}")
