"""A training that two processes share is that of one: the same losses, counts and weights, and one of everything."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.errors import AnnealError, ParamsError
from tasks.files import read_json, sha256
from tasks.stages.train import processes
from tasks.stages.train.params import Train
from tests import tiny
from tests.tasks import shared_runs
from tests.tasks.stopping import broken
from tests.tasks.test_resume import evaluations
from tests.tiny import train_in

PROJECT = Path(__file__).parents[2]


def params(batch: int, accumulation: int, **more: object) -> Train:
    sizes = {"per_device_train_batch_size": batch, "gradient_accumulation_steps": accumulation}
    return Train(**{**tiny.KINDS, **sizes, **more})


@pytest.mark.parametrize(
    ("batch", "accumulation", "number", "each"), [(4, 2, 2, (4, 1)), (8, 1, 2, (4, 1)), (6, 4, 3, (2, 4))]
)
def test_the_rows_of_a_step_are_divided(monkeypatch, batch, accumulation, number, each) -> None:
    monkeypatch.setenv("WORLD_SIZE", str(number))
    assert tuple(processes.share(params(batch, accumulation)).values()) == each


def test_what_cannot_be_divided_is_refused_in_a_sentence(monkeypatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    for number, words in (("3", "3 processes cannot share the 8 rows"), ("two", "is `two`"), ("0", "is `0`")):
        monkeypatch.setenv(processes.COUNT, number)
        with pytest.raises(ParamsError, match=words):
            processes.wanted(params(4, 2))
    monkeypatch.setenv(processes.COUNT, "2")
    with pytest.raises(ParamsError, match="ppo writes its own answers"):
        processes.wanted(params(4, 2, objective={"kind": "ppo"}))
    assert processes.wanted(params(4, 2)) == 2
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert processes.wanted(params(4, 2)) == 1, "a process that was started for this starts none"


@pytest.fixture(scope="module")
def both(_empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `one/<case>` and `two/<case>`: by one process, and by two that torchrun has started."""
    folder = tmp_path_factory.mktemp("shared")
    shared_runs.prepare(folder)
    for name in shared_runs.CASES:
        shared_runs.run(folder, name, folder / "one" / name)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    own = {"OMP_NUM_THREADS": "1", "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db"}
    done = subprocess.run(
        [*command, "-m", "tests.tasks.shared_runs", str(folder)],
        cwd=PROJECT,
        env={**os.environ, **own},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", shared_runs.CASES)
def test_two_processes_train_as_one(both: Path, name: str) -> None:
    one, two = both / "one" / name, both / "two" / name
    ours, theirs = (read_json(place / "report" / "metrics.json") for place in (one, two))
    assert theirs.keys() == ours.keys() and theirs["tokens"] == ours["tokens"]
    assert theirs == pytest.approx(ours, rel=1e-3, abs=1e-4)
    lines = [(place / "report" / "loss.csv").read_text().splitlines() for place in (one, two)]
    assert lines[0][0] == lines[1][0] and len(lines[0]) == len(lines[1])
    assert _departure(both, name) < 1e-3


def _departure(both: Path, name: str) -> float:
    """How far the weights of both runs are apart, as a share of how far a training goes."""
    import torch
    from safetensors.torch import load_file

    made = [{} for _ in range(2)]
    for weights, place in zip(made, ("one", "two"), strict=True):
        for file in sorted((both / place / name / "trained").glob("*.safetensors")):
            weights |= load_file(file)
    assert made[0].keys() == made[1].keys()
    apart = sum((made[0][key].double() - made[1][key].double()).square().sum() for key in made[0])
    base = load_file(both / ("reads" if name.startswith("classify") else "writes") / "model.safetensors")
    start = {key: base.get(key, torch.zeros(())) for key in made[0]}
    moved = sum((made[0][key].double() - start[key].double()).square().sum() for key in made[0])
    return float((apart / moved) ** 0.5)


@pytest.mark.slow
def test_a_shared_training_is_one_run_and_one_that_was_stopped_goes_on_shared(
    store, base, few, tmp_path, monkeypatch, capfd
) -> None:
    """One process stops between two epochs; two go on from its checkpoint, with a step of the rows as before."""
    from tasks.versions import tracking

    changes = {"num_train_epochs": 2, "gradient_accumulation_steps": 2, "per_device_train_batch_size": 4, "bf16": False}
    whole = train_in(tmp_path / "whole", base, few, **changes)
    broken(tmp_path / "shared", base, few, 2, **changes)
    before = len(store.search_runs([tracking.experiment_id(store)]))
    monkeypatch.setenv(processes.COUNT, "2")
    capfd.readouterr()
    shared = train_in(tmp_path / "shared", base, few, **changes)
    said = capfd.readouterr()
    assert said.out.count("continuing from checkpoint-") == 1 and "training in 2 processes" in said.err
    assert "Traceback" not in said.err and "Warning" not in said.err
    assert f" {read_json(whole.report / 'metrics.json')['steps']} steps" in said.err, "the plan is of all processes"
    for ours, theirs in zip(evaluations(whole.report), evaluations(shared.report), strict=True):
        told = [[float(value or "nan") for value in line] for line in (ours, theirs)]
        assert told[1] == pytest.approx(told[0], rel=1e-3, nan_ok=True)
    assert len(store.search_runs([tracking.experiment_id(store)])) == before, "another run for the same training"
    assert (shared.adapter / "adapter_model.safetensors").exists() and sha256(shared.adapter)
    assert not [path for path in shared.checkpoints.iterdir() if path.is_dir()]


@pytest.mark.slow
def test_an_error_of_all_processes_is_said_once_and_keeps_its_status(store, base, few, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv(processes.COUNT, "2")
    with pytest.raises(AnnealError, match="no trainable tokens: all 16 train rows") as caught:
        train_in(tmp_path, base, few, max_length=8)
    assert caught.value.exit_status == 1 and "Traceback" not in capfd.readouterr().err
