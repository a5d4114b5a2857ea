"""The toy project in which an encoder tells colour and mood, and the model writes the reply behind them."""

import json
from pathlib import Path

from tasks.files import write_json
from tests import encoders, tiny
from tests.flows import project

TELLER = {
    "objective": {"kind": "classify"},
    "tuner": {"kind": "full"},
    "learning_rate": 3.0e-3,
    "num_train_epochs": 8,
    "max_length": 64,
    "bf16": False,
}
WRITTEN = {"evaluate": {"labels": tiny.LABELS}, "gate": {"minimum": {"colour_accuracy": 0.5}}}


def make(folder: Path) -> Path:
    """The project in `folder`; what may be left out of the rows of the cascade is left out."""
    project.make(folder)
    encoder = encoders.make_base(folder / "tiny-encoder")
    (encoder / "source.json").unlink()
    toys = json.loads((folder / "params.yaml").read_text())["datasets"]["toys"]
    prepare = {name: value for name, value in toys["prepare"].items() if name not in ("system", "answer")}
    project.change(
        folder,
        bases__encoder={**tiny.base_row(encoder), "folder": "tiny-encoder", "card_name": "anneal/tiny-encoder"},
        datasets__labels={**toys, "prepare": {**prepare, "shape": "labelled", "labels": tiny.LABELS}},
        cascades={"told": {"dataset": "toys", "model": "teller"}},
        models__teller={"parent": "encoder", "dataset": "labels", "train": TELLER},
        deploy__serve="auto",
        models__things__dataset="told",
        models__things__train={**tiny.TRAIN, "num_train_epochs": 3},
    )
    for suite in ("raw", "prepared"):
        write_json(folder / f"data/expectations/labels/{suite}.json", {"expectations": []})
    return folder


def write_out(folder: Path) -> None:
    """What DVC must find in params.yaml and preflight would write there."""
    project.change(folder, cascades__told__trained_on="labels")
    for section in ("predict", "evaluate", "package", "gate"):
        project.change(folder, **{f"models__teller__{section}": WRITTEN.get(section, {})})
    project.change(folder, models__teller__probe={"encoder": "tiny"})
