"""The commands that come before a training, in a project in which nothing has run: each makes what it reads."""

from pathlib import Path

import pytest

from tests.flows import project

pytestmark = pytest.mark.slow

SWEEP = {
    "trials": 2,
    "steps": 2,
    "evaluations": 1,
    "finalists": 1,
    "at_once": 1,
    "space": {"learning_rate": {"low": 1.0e-3, "high": 5.0e-2, "log": True}},
}


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory, warmed: None) -> Path:
    """A project in which nothing has run, whose trainings take four steps."""
    folder = project.make(tmp_path_factory.mktemp("start"))
    project.change(folder, models__things__train__num_train_epochs=0.25)
    return folder


def test_a_sweep_of_a_model_without_a_row_is_refused_before_any_work(start: Path) -> None:
    said = project.run(start, "flows.sweep", "things", status=2)
    assert "params.yaml: sweeps.things is missing" in said and not (start / "models").exists()


def test_a_sweep_is_the_first_command_of_a_project(start: Path) -> None:
    project.change(start, sweeps={"things": SWEEP})
    said = project.run(start, "flows.sweep", "things")
    assert "reports/things/sweep/index.html" in said.splitlines()[-1] and "✓ sweep@things" in said
    assert (start / "reports/things/sweep/index.html").exists() and not (start / "models/things").exists()


def test_a_plan_and_a_range_test_follow_without_a_training(start: Path) -> None:
    assert "memory" in project.run(start, "flows.plan", "things")
    assert "the curve: " in project.run(start, "flows.lr_find", "things", "--steps", "20")
    assert not (start / "models/things").exists()
