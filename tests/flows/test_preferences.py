"""From a file of pairs and one of ratings to trained models through the real DVC: what answers are compared with is
written out before the work, computed once, and kept for another beta.
"""

import csv
import json
import math
from pathlib import Path

import pytest

from tasks.files import read_jsonl, write_jsonl
from tasks.preflight.checks import ready
from tests import tiny
from tests.flows import project
from tests.tasks import raw_rows

pytestmark = [pytest.mark.slow, pytest.mark.minutes]

FEW = {"num_train_epochs": 2, "max_length": 256, "bf16": False}
LEFT_OUT = {"predict": {"max_new_tokens": 8}, "evaluate": {}, "package": {"max_divergence": 10.0}, "gate": {}}


def files(folder: Path) -> dict[str, dict]:
    """The rows of `datasets`, with nothing that may be left out, after their files."""
    made = {}
    for shape, name in (("preference", "pairs"), ("rated", "thumbs")):
        rows = [raw_rows.MAKERS[shape](thing) for thing in tiny.things(0, 96)]
        write_jsonl(folder / f"data/seed/{name}/{name}.jsonl", rows)
        made[name] = {"ingest": {"source": f"data/seed/{name}"}, "validate": {}}
    return made


def test_a_file_of_pairs_and_one_of_ratings_become_models_and_another_beta_reuses_the_reference(
    tmp_path: Path, warmed: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = project.make(tmp_path / "project")
    models = {
        f"models__{name}": {
            "parent": "tiny",
            "dataset": data,
            "train": {"objective": {"kind": kind}, "tuner": tiny.KINDS["tuner"], **FEW},
            **LEFT_OUT,
        }
        for name, data, kind in (("liked", "pairs", "dpo"), ("rated", "thumbs", "kto"))
    }
    project.change(
        folder, datasets={**json.loads((folder / "params.yaml").read_text())["datasets"], **files(folder)}, **models
    )
    monkeypatch.chdir(folder)
    lines = list[str]()
    for name in ("liked", "rated"):
        ready(name, lines.append)
    assert any("`dataset: pairs_ref` in models.liked, because dpo compares with a reference" in line for line in lines)
    tables = json.loads((folder / "params.yaml").read_text())
    assert [tables["models"][name]["dataset"] for name in ("liked", "rated")] == ["pairs_ref", "thumbs_ref"]

    said = project.run(folder, "dvc", "repro", "package@liked", "package@rated")
    assert all(f"Running stage 'reference@{name}_ref'" in said for name in ("pairs", "thumbs"))
    for name, data in (("liked", "pairs_ref"), ("rated", "thumbs_ref")):
        assert all(len(row["reference"]) == 2 for row in read_jsonl(folder / f"data/prepared/{data}/train.jsonl"))
        assert json.loads((folder / f"reports/{name}/train/metrics.json").read_text())["steps"] > 5
    with (folder / "reports/liked/train/loss.csv").open() as file:
        assert float(next(csv.DictReader(file))["loss"]) == pytest.approx(math.log(2), abs=1e-3)

    project.change(folder, models__liked__train__objective={"kind": "dpo", "beta": 0.5})
    stale = project.run(folder, "dvc", "status", "reference@pairs_ref", "train@liked")
    assert "train@liked:" in stale and "reference@" not in stale
