"""A cascade through the real DVC: the classifier first, then the rows behind its labels, then the model; a new row
reaches both.
"""

import json
from pathlib import Path

import pytest

from tasks.chat import GIVEN
from tasks.files import read_jsonl, write_json, write_jsonl
from tests import encoders, tiny
from tests.flows import project

pytestmark = [pytest.mark.slow, pytest.mark.minutes]  # a project is made, and both models are trained in it

TELLER = {
    "objective": {"kind": "classify"},
    "tuner": {"kind": "full"},
    "learning_rate": 3.0e-3,
    "num_train_epochs": 4,
    "max_length": 64,
    "bf16": False,
}


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory, warmed: None) -> Path:
    """The toy project, in which an encoder tells colour and mood; what may be left out is."""
    folder = project.make(tmp_path_factory.mktemp("told"))
    encoder = encoders.make_base(folder / "tiny-encoder")
    (encoder / "source.json").unlink()
    toys = json.loads((folder / "params.yaml").read_text())["datasets"]["toys"]
    prepare = {name: value for name, value in toys["prepare"].items() if name not in ("system", "answer")}
    project.change(
        folder,
        bases__encoder={**tiny.base_row(encoder), "folder": "tiny-encoder", "card_name": "anneal/tiny-encoder"},
        datasets__labels={**toys, "prepare": {**prepare, "shape": "labelled", "labels": tiny.LABELS}},
        cascades={"told": {"dataset": "toys", "model": "teller"}},
        models__teller={"parent": "encoder", "dataset": "labels", "train": TELLER, "probe": {"encoder": "tiny"}},
        deploy__serve="auto",
        models__things__dataset="told",
        models__things__train={**tiny.TRAIN, "num_train_epochs": 3},
    )
    for suite in ("raw", "prepared"):
        write_json(folder / f"data/expectations/labels/{suite}.json", {"expectations": []})
    return folder


def test_what_is_left_out_is_named_and_then_dvc_makes_both(told: Path) -> None:
    assert "`trained_on: labels` in cascades.told" in project.run(told, "tasks.preflight", status=2)
    project.change(told, cascades__told__trained_on="labels")
    for section in ("predict", "evaluate", "package", "gate"):
        project.change(told, **{f"models__teller__{section}": {"labels": tiny.LABELS} if section == "evaluate" else {}})
    project.change(told, models__teller__gate={"minimum": {"colour_accuracy": 0.5}})
    project.run(told, "tasks.preflight")
    said = project.run(told, "dvc", "repro", "package@things")
    order = [said.index(f"Running stage '{stage}'") for stage in ("package@teller", "cascade@told", "train@things")]
    assert order == sorted(order)
    rows = read_jsonl(told / "reports/things/predict/predictions.jsonl")
    assert rows and all(row["text"].startswith(row[GIVEN]) for row in rows)
    assert (told / "models/things/adapter/labeller/labeller.json").is_file()
    assert "Running stage" not in project.run(told, "dvc", "repro", "package@things")


def test_a_row_that_is_added_is_new_to_both(told: Path) -> None:
    write_jsonl(told / "data/seed/things/harvested-0001.jsonl", tiny.things(200, 2))
    changed = project.run(told, "dvc", "status", "package@things", "--with-deps")
    assert "ingest@toys" in changed and "ingest@labels" in changed
