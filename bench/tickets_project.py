"""The rows of params.yaml that the benches of tuners share, and what came of a model: the shipped tickets, of which a
model writes the labels as JSON, so that a right answer is a matter of fact.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench import stage_runs
from tasks.files import read_json, read_jsonl, write_jsonl
from tasks.formats.answer import format_in
from tasks.stages.evaluate.measures.accuracy import accuracy
from tasks.stages.evaluate.predictions import Prediction, read

BASE, LABELS = "smollm2", ("category", "intent", "priority")
COPIED = ("data/seed", "model_cards")
MIB, RESAMPLES, TAIL = 2**20, 10_000, 0.025
QUICK = {"train": 16, "validation": 4, "test": 6}  # rows at least
FIXED = {
    "objective": {"kind": "sft"},
    "per_device_train_batch_size": 4,
    "warmup_ratio": 0.06,
    "max_length": 512,
    "eval_steps": 1.0,  # of all steps: once, at the end
    "load_best_model_at_end": False,  # the rate has decayed by then, and all are trained equally long
    "seed": 42,
}


def dataset(shipped: Mapping[str, Any], user: str, labels: Sequence[str], system: str) -> dict[str, Any]:
    """A row of `datasets`: the tickets, asked by the template `user` for their labels; the split is the shipped one."""
    tickets = shipped["datasets"]["support_tickets"]
    prepare = {**tickets["prepare"], "system": system, "user": user, "answer": list(labels)}
    return {"ingest": tickets["ingest"], "validate": tickets["validate"], "prepare": prepare}


def row(dataset: str, tuner: Mapping[str, Any], labels: Sequence[str] = LABELS, **train: Any) -> dict[str, Any]:
    """A row of `models` tuned from the base."""
    return {
        "parent": BASE,
        "dataset": dataset,
        "train": {**FIXED, "tuner": dict(tuner), **train},
        "predict": {"max_new_tokens": 48, "per_device_eval_batch_size": 144},
        "evaluate": {"labels": list(labels)},
        "package": {"max_divergence": 1.0},  # what merging costs is measured here and refused nowhere
        "gate": {},
    }


def prepare(dataset: str, quick: bool, base: str = BASE) -> None:
    """The base, and the rows of `dataset`; a few of them for a quick try."""
    stage_runs.suites([dataset])
    for target in (f"base@{base}", *(f"{stage}@{dataset}" for stage in ("ingest", "validate", "prepare"))):
        stage_runs.run(target)
    for name, count in QUICK.items() if quick else ():
        file = Path("data/prepared") / dataset / f"{name}.jsonl"
        rows = read_jsonl(file)
        write_jsonl(file, few(rows, count) if name == "train" else rows[:count])


def few(rows: Sequence[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    """The first `count` rows, and the first of each class, since what is held out may be of any."""
    known: set[tuple[str, str]] = set()
    kept = []
    for row in rows:
        classes = set(json.loads(row["answer"]).items())
        if len(kept) < count or classes - known:
            kept.append(row)
            known |= classes
    return kept


def answers(file: Path, dataset: str) -> list[Prediction]:
    """The answers in a predictions.jsonl to the test rows of `dataset`."""
    form = format_in(read_json(Path("data/prepared") / dataset / "format.json"))
    return read(read_jsonl(file), form, {})


def rights(given: Sequence[Prediction], labels: Sequence[str]) -> np.ndarray:
    """(rows,): the share of each row's labels that is right; none is where the answer is not in form."""
    shares: np.ndarray = np.mean([accuracy(label).rows(given) for label in labels], axis=0)
    return shares


def surprise(given: Sequence[Prediction]) -> np.ndarray:
    """(rows,): the negative log-likelihood of each right answer, in nats."""
    return np.array([prediction.nll for prediction in given])


def mean(values: np.ndarray, scale: float = 1.0) -> dict[str, Any]:
    """The mean of rows with its 95 % interval by the percentile bootstrap (Efron & Tibshirani 1993, ch. 13), seeded."""
    places = np.random.default_rng(42).integers(0, len(values), (RESAMPLES, len(values)))
    edges = np.quantile(values[places].mean(1), [TAIL, 1 - TAIL])
    return {"mean": round(scale * float(values.mean()), 4), "interval": [round(scale * float(e), 4) for e in edges]}


def quality(given: Sequence[Prediction], labels: Sequence[str] = LABELS) -> dict[str, Any]:
    """What is told of answers: right labels in per cent, one by one and together, and nats of a right answer."""
    each = {label: mean(rights(given, [label]), 100) for label in labels}
    return {**each, "all_labels": mean(rights(given, labels), 100), "nats_a_row": mean(surprise(given))}


def lead(ours: Sequence[Prediction], theirs: Sequence[Prediction], labels: Sequence[str] = LABELS) -> dict[str, Any]:
    """By how much `ours` is ahead on the same rows, each row against itself: points of all labels, and nats."""
    return {
        "points": mean(rights(ours, labels) - rights(theirs, labels), 100),
        "nats_a_row": mean(surprise(theirs) - surprise(ours)),
    }


def size_mib(folder: Path) -> float:
    """The weights in `folder`."""
    return round(sum(file.stat().st_size for file in folder.glob("*.safetensors")) / MIB, 2)


def parameters(folder: Path) -> int:
    """All weights in `folder`, by the headers of its files."""
    from safetensors import safe_open

    count = 0
    for file in folder.glob("*.safetensors"):
        with safe_open(file, "np") as weights:
            names = weights.keys()
            count += sum(int(np.prod(weights.get_slice(name).get_shape())) for name in names)
    return count


def training(name: str) -> dict[str, Any]:
    """What the training of a model took; tokens a second include its one validation."""
    reports, usage = Path("reports") / name / "train", stage_runs.run(f"train@{name}")
    told, timing = read_json(reports / "metrics.json"), read_json(reports / "timing.json")
    return {
        "trained_parameters": told["trainable_parameters"],
        "steps": told["steps"],
        "eval_loss": round(told["eval_loss"], 4),
        "seconds": timing["seconds"],
        "cpu_seconds": usage.cpu_seconds,
        "tokens_per_second": timing["tokens_per_second"],
        "peak_mib": usage.peak_mib,
        "size_mib": size_mib(Path("models") / name / "trained"),
    }
