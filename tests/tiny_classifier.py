"""A tiny classifier of the toy rows as `package` makes one, untrained or trained, and the rows that it reads."""

import json
from pathlib import Path
from typing import Any

from tasks.files import read_jsonl, write_json, write_jsonl
from tasks.stages.prepare.classes import shares
from tasks.stages.prepare.split_or_drop import Placed
from tests import tiny

LABELS = tiny.LABELS


def tables() -> dict[str, Any]:
    """The tables of a params.yaml: the model `things` writes behind what `teller` tells."""
    prepare = {"user": tiny.PREPARE.user, "test_share": 0.2}
    model = {"predict": {}, "evaluate": {}, "package": {}, "gate": {}}
    base = {"folder": "x", "sha256": "0" * 64, "license": "mit"}
    return {
        "bases": {"tiny": base, "encoder": base},
        "datasets": {
            "toys": {
                "ingest": {"source": "a"},
                "validate": {},
                "prepare": {"shape": "table", "answer": [*LABELS, "reply"], **prepare},
            },
            "labels": {
                "ingest": {"source": "a"},
                "validate": {},
                "prepare": {"shape": "labelled", "labels": LABELS, **prepare},
            },
        },
        "cascades": {"told": {"dataset": "toys", "model": "teller", "trained_on": "labels"}},
        "models": {
            "teller": {
                "parent": "encoder",
                "dataset": "labels",
                "train": {"objective": {"kind": "classify"}, "tuner": {"kind": "full"}},
                **model,
            },
            "things": {
                "parent": "tiny",
                "dataset": "told",
                "train": {"objective": {"kind": "sft"}, "tuner": {"kind": "lora"}},
                **model,
            },
        },
    }


def labelled(row: dict) -> dict:
    """A row of the toy dataset as the shape `labelled` has it, under the same template."""
    answer = json.dumps({label: row["row"][label] for label in LABELS})
    return {**row, "messages": row["messages"][-1:], "answer": answer}


def write_learnt(folder: Path, prepared: Path) -> Path:
    """Write `folder/` like data/prepared/<dataset>: the rows of `prepared/` in the same splits, with their labels."""
    for name in ("train", "validation", "test"):
        write_jsonl(folder / f"{name}.jsonl", [labelled(row) for row in read_jsonl(prepared / f"{name}.jsonl")])
    write_jsonl(folder / "dropped.jsonl", [])
    form = {"system": None, "user": tiny.PREPARE.user, "answer": LABELS, "shape": "labelled", "example": "labelled"}
    kept = [Placed(row, "train") for row in read_jsonl(folder / "train.jsonl")]
    write_json(folder / "format.json", {**form, "classes": shares(kept, LABELS)})
    return folder


def write_heads(folder: Path, encoder: Path, learnt: Path) -> Path:
    """Write heads of noise for the classes in `learnt/` to `folder`: what they tell follows from the seed alone."""
    import torch

    from tasks.models import classes, classifier
    from tasks.models.encoder import load_body

    folder.mkdir(parents=True)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = classifier.Classifier(load_body(encoder), classes.counts(read_jsonl(learnt / "train.jsonl")), "mean")
    classifier.save(model, "classify", folder)
    return folder
