"""A training that is killed goes on from its last whole checkpoint, and ends as if nothing had happened."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from flows.screen import is_for_people
from tasks.files import read_json, sha256
from tests import tiny
from tests.tasks.stopping import Stopped, broken, whole_checkpoints
from tests.tiny import train_in as run

pytestmark = pytest.mark.slow  # each test trains, or loads a model

PROJECT = Path(__file__).parents[2]
# Two steps an epoch; with dropout the random state has to be found again as well.
CHANGES = {"num_train_epochs": 4, "tuner": {**tiny.LORA, "lora_dropout": 0.1}, "eval_steps": 0.125}


def evaluations(report: Path) -> list[tuple]:
    with (report / "loss.csv").open() as file:
        return [
            (line["step"], line["eval_loss"], line["learning_rate"])
            for line in csv.DictReader(file)
            if line["eval_loss"]
        ]


@pytest.fixture(scope="module")
def unbroken(base, few, tmp_path_factory) -> SimpleNamespace:
    return run(tmp_path_factory.mktemp("unbroken"), base, few, **CHANGES)


def test_a_killed_run_goes_on_from_its_checkpoint_and_ends_with_the_same_adapter(
    trained, base, prepared, tmp_path, capfd
):
    (tmp_path / "params.yaml").write_text(json.dumps({"models": {"things": {"train": tiny.TRAIN}}}))
    options = {
        "parent": base,
        "prepared": prepared,
        "checkpoints": tmp_path / "checkpoints/things",
        "out": tmp_path / "trained",
        "report": tmp_path / "report",
    }
    command = [
        sys.executable,
        "-m",
        "tasks.stages.train",
        "things",
        *(word for name, path in options.items() for word in (f"--{name}", str(path))),
    ]
    process = subprocess.Popen(command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(PROJECT)})
    while not whole_checkpoints(tmp_path) and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "it ended before it could be killed"
    assert not (tmp_path / "trained").exists()
    capfd.readouterr()
    made = run(tmp_path, base, prepared)
    assert "continuing from checkpoint-" in capfd.readouterr().out
    assert sha256(made.adapter) == sha256(trained.adapter)
    assert read_json(made.report / "metrics.json") == read_json(trained.report / "metrics.json")
    assert evaluations(made.report) == evaluations(trained.report)


@pytest.mark.parametrize("step", [3, 6], ids=["in the middle of an epoch", "between two epochs"])
def test_a_run_stopped_at_any_step_ends_with_the_adapter_of_an_unbroken_one(unbroken, base, few, tmp_path, step):
    assert broken(tmp_path, base, few, step, **CHANGES).name == f"checkpoint-{step}"
    made = run(tmp_path, base, few, **CHANGES)
    assert sha256(made.adapter) == sha256(unbroken.adapter)
    assert evaluations(made.report) == evaluations(unbroken.report)
    assert not whole_checkpoints(tmp_path)


def test_a_checkpoint_torn_by_a_kill_is_passed_over(unbroken, base, few, tmp_path, capsys):
    last = broken(tmp_path, base, few, 5, **CHANGES)
    for step, state in ((6, None), (7, '{"epoch": 3.5, "glo')):  # the state is written last
        torn = shutil.copytree(last, last.with_name(f"checkpoint-{step}"))
        (torn / "trainer_state.json").unlink()
        if state:
            (torn / "trainer_state.json").write_text(state)
    capsys.readouterr()
    assert sha256(run(tmp_path, base, few, **CHANGES).adapter) == sha256(unbroken.adapter)
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.endswith(f"from {last.name}")]
    assert is_for_people(line, "train@things")  # the screen of a run shows it


def test_a_run_killed_between_its_last_step_and_its_adapter_trains_no_more(unbroken, base, few, tmp_path, monkeypatch):
    def stop(*_: object) -> None:
        raise Stopped

    with monkeypatch.context() as patch, pytest.raises(Stopped):
        patch.setattr("tasks.tuners.save", stop)
        run(tmp_path, base, few, **CHANGES)
    made = run(tmp_path, base, few, **CHANGES)
    assert sha256(made.adapter) == sha256(unbroken.adapter)
    assert read_json(made.report / "metrics.json") == read_json(unbroken.report / "metrics.json")
    assert read_json(made.report / "timing.json")["tokens_per_second"] == 0


def test_the_patience_that_was_used_up_before_a_kill_stays_used_up(base, few, tmp_path):
    changes = {
        "num_train_epochs": 20,
        "learning_rate": 0.5,
        "early_stopping_patience": 2,
        "eval_steps": 0.1,
        "warmup_ratio": 0.9,
    }
    whole = run(tmp_path / "whole", base, few, **changes)
    steps = read_json(whole.report / "metrics.json")["steps"]
    assert 8 < steps < 40
    broken(tmp_path / "broken", base, few, steps - 1, **changes)  # one evaluation without a better loss, one to come
    made = run(tmp_path / "broken", base, few, **changes)
    assert read_json(made.report / "metrics.json")["steps"] == steps
    assert sha256(made.adapter) == sha256(whole.adapter)


def test_checkpoints_of_other_params_are_not_gone_on_from(base, few, tmp_path, capsys):
    broken(tmp_path, base, few, 2, num_train_epochs=2)
    run(tmp_path, base, few, num_train_epochs=2, learning_rate=1e-3)
    assert "going on" not in capsys.readouterr().out
    assert not whole_checkpoints(tmp_path)


def test_a_run_that_is_gone_on_with_is_one_run_in_mlflow(store, base, few, tmp_path):
    from tasks.versions import tracking

    broken(tmp_path, base, few, 3, num_train_epochs=2)
    run(tmp_path, base, few, num_train_epochs=2)
    assert [found.info.status for found in store.search_runs([tracking.experiment_id(store)])] == ["FINISHED"]


def test_a_checkpoint_whose_weights_were_cut_off_or_damaged_is_passed_over(unbroken, base, few, tmp_path, capsys):
    """A disk that filled up, or a power cut: the state was written, and not all of the weights."""
    last = broken(tmp_path, base, few, 5, **CHANGES)
    weights = shutil.copytree(last, last.with_name("checkpoint-6")) / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    moments = shutil.copytree(last, last.with_name("checkpoint-7")) / "optimizer.pt"
    content = bytearray(moments.read_bytes())
    content[len(content) // 2] ^= 0xFF
    moments.write_bytes(content)
    (shutil.copytree(last, last.with_name("checkpoint-8")) / "optimizer.pt").unlink()
    capsys.readouterr()
    assert sha256(run(tmp_path, base, few, **CHANGES).adapter) == sha256(unbroken.adapter)
    assert f"continuing from {last.name}\n" in capsys.readouterr().out


@pytest.mark.parametrize("place", ["on_step_begin", "on_prediction_step"])
def test_sigterm_saves_and_leaves_and_the_run_continues_exactly(unbroken, base, few, tmp_path, monkeypatch, place):
    """In the third step, which no checkpoint would follow, and in the evaluation after the fourth one."""
    from tasks.stages.train.guards.stopping import Interrupted
    from tasks.stages.train.history import History

    def ask(self: object, args: object, state: object, control: object, **_: object) -> None:
        if state.global_step == (2 if place == "on_step_begin" else 4):
            os.kill(os.getpid(), signal.SIGTERM)

    changes = {**CHANGES, "eval_steps": 0.5}
    saved = 3 if place == "on_step_begin" else 4
    with monkeypatch.context() as patch, pytest.raises(Interrupted, match=rf"checkpoint-{saved} is saved") as left:
        patch.setattr(History, place, ask)
        run(tmp_path / "left", base, few, **changes)
    assert left.value.exit_status == 143 and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    made = run(tmp_path / "left", base, few, **changes)
    whole = run(tmp_path / "whole", base, few, **changes)
    assert sha256(made.adapter) == sha256(whole.adapter)
    assert (made.report / "loss.csv").read_bytes() == (whole.report / "loss.csv").read_bytes()
    assert read_json(made.report / "metrics.json") == read_json(whole.report / "metrics.json")


def test_a_step_that_takes_too_long_after_sigterm_is_left(tmp_path, monkeypatch, capsys):
    from tasks.stages.train.guards import stopping

    left: list[int] = []
    monkeypatch.setattr(stopping, "LIMIT", 0.05)
    monkeypatch.setattr(stopping.os, "_exit", left.append)
    (tmp_path / "checkpoint-8").mkdir()
    (tmp_path / "checkpoint-8/trainer_state.json").write_text("{}")
    heard = stopping.Stopping(SimpleNamespace(args=SimpleNamespace(output_dir=tmp_path)))
    with heard.listening():
        os.kill(os.getpid(), signal.SIGTERM)
        heard.timer.join()
    assert left == [143] and "checkpoint-8 is saved, and the next run continues" in capsys.readouterr().err
