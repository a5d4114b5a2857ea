"""The trials of a sweep, as DVC's experiments."""

import json
import subprocess
from pathlib import Path

import pytest

from flows import sweep_experiments
from tests.tasks import swept

pytestmark = pytest.mark.slow  # it starts git and dvc

PARAMS = """models:
  things:
    train: # a remark that stays
      tuner: {kind: lora, r: 8}
      learning_rate: 1.0e-2
      per_device_train_batch_size: 8
"""


def git(*words: str) -> str:
    return subprocess.run(["git", *words], check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_NAME", "test")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "test@example.com")
    Path("params.yaml").write_text(PARAMS)
    Path("dvc.yaml").write_text("stages: {}\n")
    Path(".dvc").mkdir()
    Path(".dvc/config").write_text("[core]\n    analytics = false\n")
    git("init", "-q")
    return tmp_path


def test_dvc_lists_each_measured_trial_with_its_settings_and_touches_nothing(project: Path) -> None:
    outcome = swept.outcome()
    assert sweep_experiments.record(outcome) == 0  # nothing is committed yet
    git("add", "-A")
    git("commit", "-qm", "first")
    before = git("status", "--porcelain"), git("rev-parse", "HEAD")
    assert sweep_experiments.record(outcome) == 19  # the one that failed has no figure
    assert (git("status", "--porcelain"), git("rev-parse", "HEAD")) == before
    from dvc.repo import Repo

    with Repo() as repo:
        (shown,) = [state for state in repo.experiments.show() if state.experiments]
    experiments = {range_.name: range_.revs[0].data for range_ in shown.experiments}
    best = experiments["sweep-things-19"]
    trial = next(row for row in outcome["trials"] if row["number"] == 19)
    (metrics,) = [entry["data"] for entry in best.metrics.values()]
    assert metrics == {**metrics, "value": round(trial["value"], 5), "ended": "complete"}
    train = best.params["params.yaml"]["data"]["models"]["things"]["train"]
    assert train["tuner"] == {"kind": "lora", "r": trial["settings"]["tuner.r"]}
    assert train["learning_rate"] == pytest.approx(trial["settings"]["learning_rate"])


def test_a_later_sweep_replaces_the_experiments_of_an_earlier_one(project: Path) -> None:
    git("add", "-A")
    git("commit", "-qm", "first")
    sweep_experiments.record(swept.outcome())
    fewer = {**swept.outcome(), "trials": swept.trials()[:3]}
    assert sweep_experiments.record(fewer) == 3
    assert len(git("for-each-ref", "refs/exps").splitlines()) == 3


def test_metrics_join_those_that_dvc_yaml_has() -> None:
    assert sweep_experiments.with_metrics("stages: {}\n", "a.json").endswith("\nmetrics:\n  - a.json\n")
    assert sweep_experiments.with_metrics("metrics:\n  - b.json\n", "a.json") == "metrics:\n  - a.json\n  - b.json\n"
    row = swept.trials()[0]
    assert json.loads(json.dumps(sweep_experiments.figures(row)))["seconds"] == row["figures"]["seconds"]
