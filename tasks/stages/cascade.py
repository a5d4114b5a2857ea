"""Turns the rows of a dataset into those of a cascade: a classifier predicts the first columns of each answer, and the
model trained on the result writes the rest. To later stages a cascade is a dataset.

Each row of the dataset gets `given`, the beginning of its answer, and `rest`. In training and validation rows the
labels are the right ones; in test rows they are the classifier's predictions, as they will be when both are served.
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

TRAINED_ON = ("train.jsonl", "validation.jsonl")  # of the classifier's dataset
SHOWN = 5  # ids in a sentence


class Cascade(Section):
    """A row of `cascades`: a dataset, and the classifier that predicts the beginning of its answers."""

    dataset: Annotated[str, Field(description="row of datasets or mixes with JSON answers")]
    model: Annotated[str, Field(description="row of models that predicts the first columns of the answers")]
    trained_on: Annotated[str, Field(description="dataset of that model, none of whose training rows may be tested on")]


def cascade(
    params: Cascade, prepared: Path, learnt: Path, weights: Path, adapter: Path, out: Path, report: Path
) -> None:
    """Write `out/` like a prepared dataset, with the classifier in `out/labeller/`; the classifier's accuracy on the
    test rows by column to `report/cascade.json`, and its seconds per row to `report/timing.json`.

    `learnt/` is the dataset that the classifier in `weights/` and `adapter/` was trained on. Raises AnnealError if it
    holds a row that is held out here, since figures of a classifier that knows the answers would mean nothing.
    """
    columns, count = read_json(prepared / "format.json")["answer"], len(heads.facts(adapter)["classes"])
    rows = splits(prepared)
    _refuse_known(params, rows, learnt)
    with whole_directory(out) as folder:
        labeller.write(weights, adapter, columns, folder / labeller.FOLDER)
        classifier = labeller.load(folder / labeller.FOLDER)
        splits_out = {name: [_split_answer(row, columns, count) for row in split] for name, split in rows.items()}
        test = splits_out["test"]
        started = time.perf_counter()
        predicted = [labeller.predict_beginning(classifier, row["messages"]) for row in test]
        seconds = time.perf_counter() - started
        figures = labeller.agreement(test, predicted, columns[:count])
        splits_out["test"] = [{**row, "given": given} for row, given in zip(test, predicted, strict=True)]
        for name, split in splits_out.items():
            write_jsonl(folder / f"{name}.jsonl", split)
        for name in ("dropped.jsonl", "format.json"):
            shutil.copy(prepared / name, folder / name)
    write_json(report / "cascade.json", {"test_rows": len(predicted), "right": figures})
    write_json(report / "timing.json", {"seconds_per_answer": seconds / len(predicted)})
    shares = ", ".join(f"{column} {share:.1%}" for column, share in figures.items())
    print(f"cascade: accuracy of {params.model} on {len(predicted)} test rows: {shares}", file=sys.stderr, flush=True)


def _split_answer(row: Prepared, columns: Sequence[str], count: int) -> Prepared:
    given, rest = labeller.parts(row, columns, count)
    return {**row, "given": given, "rest": rest}


def _refuse_known(params: Cascade, rows: dict[str, list[Prepared]], learnt: Path) -> None:
    """Raise AnnealError for held-out rows that the classifier was trained on, and for test rows that it was validated
    on.
    """
    trained, validated = ({folded(encoder.question(row)) for row in read_jsonl(learnt / name)} for name in TRAINED_ON)
    for name, seen in (("test", trained | validated), ("validation", trained)):
        ids = [str(row["id"]) for row in rows[name] if folded(encoder.question(row)) in seen]
        if ids:
            more = f" and {len(ids) - SHOWN} more" if len(ids) > SHOWN else ""
            raise AnnealError(
                f"cascade: {params.model} was trained on {', '.join(ids[:SHOWN])}{more}, which {params.dataset} holds "
                f"out ({name}): its predictions for them say nothing about its quality; give {params.trained_on} the "
                f"seed, the shares and the user template of {params.dataset}."
            )


if __name__ == "__main__":
    stage.main(cascade, Cascade, "cascades.{row}")
