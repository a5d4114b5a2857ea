"""What the drift demo's copy does otherwise than the project, and that it says so."""

import shutil
from pathlib import Path

import pytest

from flows import demo_copy
from tasks import params
from tests.house.project import ROOT


def test_the_demo_retrains_sooner_and_says_so_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_copy, "HOME", tmp_path)
    shutil.copy(ROOT / "params.yaml", tmp_path)
    before = params.load(tmp_path / "params.yaml")
    words = demo_copy.retrain_sooner("triage")
    after = params.load(tmp_path / "params.yaml")
    epochs = before.models["triage"].train.num_train_epochs
    assert words == (
        f"the demo retrains triage with 1 pass over its rows, where params.yaml has {epochs:g}, to be shorter"
    )
    train = before.models["triage"].train.model_copy(update={"num_train_epochs": 1})
    assert after == before.model_copy(
        update={"models": before.models | {"triage": before.models["triage"].model_copy(update={"train": train})}}
    )
    assert demo_copy.retrain_sooner("triage") == ""
    assert demo_copy.retrain_sooner("triage_labels") == ""  # a classifier is quick, and its labels decide
