"""The commands that come before a training, in a project in which nothing has run: each makes what it reads."""

import json
from pathlib import Path

import pytest

from flows import sweep, sweep_experiments
from tasks.sweeps.outcome import Outcome
from tasks.sweeps.place import Place
from tests.flows import project
from tests.tasks import swept

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
    output = project.run(start, "flows.sweep", "things", status=2)
    assert "params.yaml: sweeps.things is missing" in output and not (start / "models").exists()


def test_a_sweep_is_the_first_command_of_a_project(
    start: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """All but its trials, each of which is a process."""
    places: list[Place] = []

    def run(place: Place, say: object) -> Outcome:
        places.append(place)
        return swept.outcome()

    project.change(start, sweeps={"things": SWEEP})
    monkeypatch.chdir(start)
    monkeypatch.setenv("PATH", project.environment()["PATH"])
    monkeypatch.setattr(sweep.sweeps, "run", run)
    monkeypatch.setattr(sweep_experiments, "record", lambda outcome: 0)
    sweep.run("things")
    (place,) = places
    assert place.parent.exists() and (place.prepared / "train.jsonl").exists() and not Path("models/things").exists()
    assert "its page: reports/things/sweep/index.html" in capsys.readouterr().out


@pytest.mark.minutes
def test_a_sweep_a_plan_and_a_range_test_leave_no_model(start: Path) -> None:
    assert json.loads((start / "params.yaml").read_text())["sweeps"] == {"things": SWEEP}
    output = project.run(start, "flows.sweep", "things")
    assert (start / output.split()[-1]).exists() and "✓ sweep@things" in output
    assert "memory" in project.run(start, "flows.plan", "things")
    assert "the curve: " in project.run(start, "flows.lr_find", "things", "--steps", "20")
    assert not (start / "models/things").exists()
