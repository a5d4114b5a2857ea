"""A rubric, a model that learns from it and a new kind of reward, through the real DVC: each change makes stale what it
should, and nothing else.
"""

import csv
import json
from pathlib import Path

import pytest

from tasks.files import read_json, read_jsonl, sha256
from tests.flows import project

pytestmark = pytest.mark.slow  # a project is made, and a model trained in it

REWARDS = [{"kind": "valid"}, {"kind": "labels", "columns": ["colour"], "weight": 2.0}]
PPO = {
    "objective": {"kind": "ppo", "max_completion_length": 40, "num_ppo_epochs": 1},
    "tuner": {"kind": "lora"},
    "learning_rate": 1.0e-4,
    "num_train_epochs": 1,
    "max_length": 256,
}
UP_TO_DATE = "Data and pipelines are up to date."


@pytest.mark.minutes
def test_a_model_learns_from_a_rubric_and_only_what_depends_on_it_goes_stale(untouched: Path) -> None:
    rows = json.loads((untouched / "params.yaml").read_text())["models"]
    dataset = rows["things"]["dataset"]
    better = {**rows["things"], "parent": "things", "dataset": "rewarded", "train": PPO}
    rubrics = {"rewarded": {"dataset": dataset, "rewards": REWARDS, "held_out": [{"kind": "repetition"}]}}
    project.change(untouched, rubrics=rubrics, models__better=better)
    project.run(untouched, "tasks.preflight")

    project.run(untouched, "dvc", "repro", "package@better")
    prepared = untouched / "data/prepared/rewarded"
    assert {row["rubric"] for row in read_jsonl(prepared / "train.jsonl")} == {sha256(prepared / "rubric.json")}
    with (untouched / "reports/better/train/loss.csv").open() as file:
        lines = list(csv.DictReader(file))
    logged = [float(line["reward"]) for line in lines if line["reward"]]
    parts = [float(line["reward/valid"]) + 2 * float(line["reward/labels"]) for line in lines if line["reward"]]
    assert logged and logged == pytest.approx(parts)
    assert {"kl", "held_out/repetition", "eval_reward"} <= lines[0].keys()
    assert read_json(untouched / "models/better/adapter/tuner.json")["kind"] == "lora"
    assert not (untouched / "models/better/adapter/head.json").exists()

    (untouched / "tasks/rewards/shouting.py").write_text((untouched / "tasks/rewards/valid.py").read_text())
    project.run(untouched, "dvc", "repro", "rubric@rewarded")  # another kind: the rows are the same bytes
    assert UP_TO_DATE in project.run(untouched, "dvc", "status", "package@better")

    rubrics["rewarded"]["rewards"] = REWARDS[:1]
    project.change(untouched, rubrics=rubrics)
    project.run(untouched, "dvc", "repro", "rubric@rewarded")
    stale = project.run(untouched, "dvc", "status", "train@better", "train@things")
    assert "train@better:" in stale and "train@things:" not in stale
