"""The whole DAG on a tiny model, with the real DVC, Great Expectations, MLflow and Prefect."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.flows import project

pytestmark = pytest.mark.slow  # each test trains, or loads a model


def would_run(folder: Path) -> list[str]:
    shown = project.run(folder, "dvc", "repro", "--dry")
    return [line.split("'")[1] for line in shown.splitlines() if line.startswith("Running stage")]


def test_dvc_repro_alone_makes_the_model_and_its_reports(made: Path) -> None:
    for name in (
        "models/things/adapter/adapter_model.safetensors",
        "models/things/weights/model.safetensors",
        "model_cards/things.md",
        "reports/things/train/xray.html",
        "reports/toys/raw/index.html",
    ):
        assert (made / name).exists(), name
    metrics = json.loads((made / "reports/things/evaluate/metrics.json").read_text())
    assert metrics["tuned"]["colour_accuracy"] > metrics["parent"]["colour_accuracy"]


def test_a_second_repro_runs_nothing(made: Path) -> None:
    assert would_run(made) == []


def test_metrics_and_plots_are_shown_as_dvc_users_expect(made: Path) -> None:
    assert "tuned.colour_accuracy" in project.run(made, "dvc", "metrics", "show")
    assert "index.html" in project.run(made, "dvc", "plots", "show")


@pytest.mark.minutes  # no process that has loaded the libraries helps
def test_another_clone_makes_the_same_bytes_in_processes_of_its_own(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(project, "PYTHON", project.OWN)
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", str(made), str(clone)], check=True)
    (clone / "tiny-base").mkdir(exist_ok=True)
    project.run(clone, "dvc", "repro", "train@things")
    for name in (
        "data/prepared/toys/train.jsonl",
        "data/prepared/toys/test.jsonl",
        "models/things/trained/adapter_model.safetensors",
        "models/things/trained/adapter_config.json",
    ):
        assert (clone / name).read_bytes() == (made / name).read_bytes(), name


def test_one_hyperparameter_reruns_train_and_nothing_before_it(made: Path) -> None:
    before = (made / "params.yaml").read_text()
    project.change(made, models__things__train__learning_rate=1.0e-3)
    try:
        assert would_run(made) == ["train@things"]  # dry: what follows depends on what it will make
    finally:
        (made / "params.yaml").write_text(before)


def test_the_gates_settings_rerun_no_stage(made: Path) -> None:
    before = (made / "params.yaml").read_text()
    project.change(made, models__things__gate__alpha=0.01)
    try:
        assert would_run(made) == []
    finally:
        (made / "params.yaml").write_text(before)


def test_a_pushed_model_trains_nothing_in_a_fresh_clone(made: Path, tmp_path: Path) -> None:
    remote, clone = tmp_path / "remote", tmp_path / "clone"
    project.run(made, "dvc", "remote", "add", "-f", "--local", "store", str(remote))
    project.run(made, "dvc", "push", "-r", "store")
    for words in (
        ["add", "dvc.lock"],
        ["-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qm", "lock", "--allow-empty"],
    ):
        subprocess.run(["git", *words], cwd=made, check=True)
    subprocess.run(["git", "clone", "-q", str(made), str(clone)], check=True)
    project.run(clone, "dvc", "remote", "add", "--local", "store", str(remote))
    project.run(clone, "dvc", "pull", "-r", "store")
    assert would_run(clone) == []


def test_a_refused_model_is_tracked_not_promoted_and_the_run_says_why(made: Path) -> None:
    before = (made / "params.yaml").read_text()
    project.change(made, models__things__gate__minimum={"perplexity": 1.0})
    try:
        said = project.run(made, "flows.pipeline", "things", status=1)
    finally:
        (made / "params.yaml").write_text(before)
    assert said.rstrip().splitlines()[-1].startswith("error: things was not promoted: perplexity is ")
    assert "Traceback" not in said and "database is locked" not in said
    summary = json.loads((made / "reports/things/summary.json").read_text())
    assert {entry["state"] for entry in summary["stages"] if "@" in entry["name"]} == {"cached"}
    assert (
        not summary["gate"]["passed"]
        and summary["registry"]["aliases"] == ["challenger"]
        and summary["endpoint"] is None
    )
    page = (made / "reports/things/index.html").read_text()
    assert "<title>things was refused: perplexity is " in page and "did not pass its gate" in page


def test_a_wrong_value_stops_before_any_work(made: Path) -> None:
    before = (made / "params.yaml").read_text()
    project.change(made, models__things__train__learning_rte=1.0)
    try:
        said = project.run(made, "flows.pipeline", "things", status=2)
    finally:
        (made / "params.yaml").write_text(before)
    assert (
        said.strip()
        == "error: params.yaml: models.things.train.learning_rte is not a known key; did you mean `learning_rate`?"
    )


@pytest.mark.parametrize(
    ("name", "url", "words"),
    [
        ("MLFLOW_TRACKING_URI", "http://127.0.0.1:9", "MLflow at http://127.0.0.1:9 does not answer"),
        ("PREFECT_API_URL", "http://127.0.0.1:9/api", "the Prefect server at http://127.0.0.1:9/api does not answer"),
    ],
)
def test_a_server_that_is_down_ends_in_one_sentence(made: Path, name: str, url: str, words: str) -> None:
    said = project.run(made, "flows.pipeline", "things", status=75, **{name: url})
    assert words in said.rstrip().splitlines()[-1] and "Traceback" not in said
