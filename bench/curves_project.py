"""The project that bench/classify_curves.py works in: the rows of params.yaml, the data of each run, a run."""

import argparse
import os
import random
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
DATASET, PARENT, LABEL = "texts", "encoder", "label"
RATE, EPOCHS, BATCH_SIZE = 1.0e-4, 8, 32
VALIDATION = 8  # training rows for each row of validation
OFFICIAL = {"validation_share": 0.1, "test_share": 0.005}  # where the test rows come in a file of their own


@dataclass(frozen=True)
class Run:
    """A training: how many rows (`all`), at which rate, which seed draws the rows and deals the batches."""

    size: str
    rate: float
    seed: int

    @property
    def data(self) -> str:
        """Its dataset: the same for all rates."""
        return f"n{self.size}-s{self.seed}"

    @property
    def name(self) -> str:
        """Its row of `models`."""
        return f"{self.data}-r{self.rate:g}".replace(".", "_")

    @property
    def prepared(self) -> Path:
        """Where its rows are."""
        return Path("data/prepared") / self.data

    @property
    def reports(self) -> Path:
        """Where its figures are."""
        return Path("reports") / self.name


def make(options: argparse.Namespace, runs: Sequence[Run]) -> None:
    """The project in `options.out`: params.yaml, the encoder, rows prepared and drawn; what is there is kept."""
    from ruamel.yaml import YAML

    from tasks.params import load
    from tasks.stages.base import base

    bases = load(ROOT / "params.yaml").bases
    row = bases[options.base].model_dump(exclude_none=True)
    params = {
        "bases": {PARENT: row},
        "datasets": {DATASET: dataset(options)},
        "models": {
            "first": {"parent": PARENT, "dataset": DATASET, **sections(options, runs[0])},
            **{run.name: {"parent": PARENT, "dataset": DATASET, **sections(options, run)} for run in runs},
        },
    }
    options.out.mkdir(parents=True, exist_ok=True)
    text = options.out / "params.yaml"
    YAML().dump(params, text)
    before = Path.cwd()
    os.chdir(options.out)
    try:
        weights = Path("models") / PARENT / "weights"
        if not weights.exists():
            base(bases[options.base], weights)
        prepare(options)
        for run in runs:
            draw(run)
    finally:
        os.chdir(before)


def dataset(options: argparse.Namespace) -> dict[str, Any]:
    """The row of `datasets`."""
    return {
        "ingest": {"source": str(options.csv)},
        "validate": {},
        "prepare": {
            "shape": "labelled",
            "user": f"{{{{ row[{options.text!r}] }}}}",
            "labels": [options.label],
            **(OFFICIAL if options.test else {}),
        },
    }


def sections(options: argparse.Namespace, run: Run) -> dict[str, Any]:
    """A section a stage of a row of `models`; an evaluation an epoch."""
    return {
        "train": {
            "objective": {"kind": "classify"},
            "tuner": {"kind": "full"},
            "learning_rate": run.rate,
            "num_train_epochs": options.epochs,
            "per_device_train_batch_size": options.batch_size,
            "eval_steps": 1 / options.epochs,
            "early_stopping_patience": 3,
            "seed": run.seed,
        },
        "predict": {},
        "evaluate": {"labels": [options.label]},
        "package": {},
        "gate": {},
    }


def prepare(options: argparse.Namespace) -> None:
    """ingest, validate and prepare, as `make pipeline` does it; then the test rows of `options.test` in place."""
    from tasks import paths
    from tasks.files import read_jsonl, write_jsonl
    from tasks.params import load
    from tasks.preflight import suites
    from tasks.stages.ingest.__main__ import ingest
    from tasks.stages.ingest.source import take_snapshot
    from tasks.stages.prepare import __main__ as stage
    from tasks.stages.prepare.shapes import labelled
    from tasks.stages.validate import validate

    out = Path("data/prepared") / DATASET
    if out.exists():
        return
    params = load()
    row, raw, good = params.datasets[DATASET], Path("data/raw"), Path("data/validated")
    suites.write_missing(params, [DATASET])
    rules = paths.suites(DATASET)
    ingest(row.ingest, raw)
    validate(row.validate_, raw, rules / "raw.json", good, Path("reports/raw"), Path("reports/validate.json"))
    made = Path("data/made")
    stage.prepare(
        row.prepare, good, rules / "prepared.json", made, Path("reports/prepared"), Path("reports/prepare.json")
    )
    if options.test:
        source = row.ingest.model_copy(update={"source": str(options.test)})
        held_out = [dict(labelled.example(line, row.prepare)) for line in take_snapshot(source, options.test).rows]
        known = {line["answer"] for line in read_jsonl(made / "train.jsonl")}
        write_jsonl(made / "test.jsonl", [line for line in held_out if line["answer"] in known])
    out.parent.mkdir(parents=True, exist_ok=True)
    made.rename(out)


def draw(run: Run) -> None:
    """The rows of a run: one of each class, so that none is unknown, and the others by chance."""
    from tasks.files import read_json, read_jsonl, whole_directory, write_json, write_jsonl
    from tasks.stages.prepare.classes import shares
    from tasks.stages.prepare.split_or_drop import Placed

    if run.prepared.exists():
        return
    source = Path("data/prepared") / DATASET
    rows = {name: read_jsonl(source / f"{name}.jsonl") for name in ("train", "validation")}
    dice = random.Random(run.seed)
    count = len(rows["train"]) if run.size == "all" else int(run.size)
    if count > len(rows["train"]):
        raise SystemExit(f"{count} training rows are wanted, and prepare left {len(rows['train'])}; ask for `all`")
    shuffled = dice.sample(rows["train"], len(rows["train"]))
    of_each = {row["answer"]: row for row in shuffled}
    if count < len(of_each):
        raise SystemExit(f"{count} rows are too few for {len(of_each)} classes, of each of which one is drawn")
    chosen = {row["id"] for row in of_each.values()}
    train = [*of_each.values(), *(row for row in shuffled if row["id"] not in chosen)][:count]
    validation = dice.sample(rows["validation"], len(rows["validation"]))[: max(len(of_each), count // VALIDATION)]
    form = read_json(source / "format.json")
    with whole_directory(run.prepared) as folder:
        write_jsonl(folder / "train.jsonl", train)
        write_jsonl(folder / "validation.jsonl", validation)
        shutil.copy(source / "test.jsonl", folder)
        classes = shares([Placed(row, "train") for row in train], form["answer"])
        write_json(folder / "format.json", {**form, "classes": classes})


def tuned(run: Run) -> dict[str, float]:
    """train, baseline, predict, evaluate; what the last one found. Nothing is done again."""
    from tasks.files import read_json
    from tasks.params import load
    from tasks.stages.baseline import baseline
    from tasks.stages.evaluate.__main__ import evaluate
    from tasks.stages.predict.__main__ import predict
    from tasks.stages.train.__main__ import train

    row, parent = load().models[run.name], Path("models") / PARENT / "weights"
    trained, reports = Path("models") / run.name / "trained", run.reports
    if not trained.exists():
        checkpoints = Path(".anneal/checkpoints") / run.name
        train(row.train, parent, run.prepared, checkpoints, trained, reports / "train")
    if not (reports / "evaluate").exists():
        baseline(row.predict, parent, run.prepared, reports / "baseline")
        predict(row.predict, parent, trained, run.prepared, reports / "predict")
        evaluate(row.evaluate, run.prepared, reports, reports / "evaluate")
    metrics = read_json(reports / "evaluate/metrics.json")
    label = row.evaluate.labels[0]
    return {
        "rows": read_json(reports / "train/metrics.json")["rows"],
        "test_rows": metrics["rows"],
        "accuracy": metrics["tuned"][f"{label}_accuracy"],
        "macro_f1": metrics["tuned"][f"{label}_macro_f1"],
        "seconds": read_json(reports / "train/timing.json")["seconds"],
    }
