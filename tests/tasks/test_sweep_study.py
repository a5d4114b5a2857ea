"""The study of a sweep: what it tries, and what a kill leaves of it."""

from pathlib import Path

import pytest
from optuna import Study
from optuna.trial import TrialState

from tasks.section import parse
from tasks.stages.train.params import Train
from tasks.sweeps import run, space, study
from tasks.sweeps.params import Sweep
from tests import tiny

OWN = space.applied(Train(**tiny.TRAIN), {"learning_rate": 3e-3, "tuner.r": 8})
SPACE = {"learning_rate": {"low": 1.0e-4, "high": 1.0e-2, "log": True}, "tuner.r": {"choices": [4, 8, 16]}}


def sweep(**settings: object) -> Sweep:
    return parse(Sweep, {"space": SPACE, "trials": 12, **settings}, "sweeps.things")


def loss(settings: dict) -> float:
    return abs(settings["learning_rate"] - 2e-3) * 100 + settings["tuner.r"] / 1000


def go_on(opened: Study, settings: Sweep, trials: int | None = None) -> list[dict]:
    """Try and settle what is left, or so many trials; return what was tried."""
    tried: list[dict] = []
    while study.left(opened, settings) > 0 and (trials is None or len(tried) < trials):
        trial = study.ask(opened, settings)
        trial.set_user_attr("ended", "complete")
        opened.tell(trial, loss(trial.params))
        tried.append(trial.params)
    return tried


def test_the_present_settings_come_first_and_each_settled_trial_counts(tmp_path: Path) -> None:
    opened = study.open_study(tmp_path, sweep(), OWN)
    tried = go_on(opened, sweep())
    assert len(tried) == 12 and tried[0] == {"learning_rate": 3e-3, "tuner.r": 8}
    assert study.best(opened, 1)[0].value == min(loss(settings) for settings in tried)
    assert set(run.importance(opened)) == set(SPACE)
    assert go_on(study.open_study(tmp_path, sweep(trials=14), OWN), sweep(trials=14)) != []


def test_a_sweep_that_was_killed_tries_what_an_unbroken_one_tries(tmp_path: Path) -> None:
    unbroken = go_on(study.open_study(tmp_path / "a", sweep(), OWN), sweep())
    first = go_on(study.open_study(tmp_path / "b", sweep(), OWN), sweep(), 5)
    rest = go_on(study.open_study(tmp_path / "b", sweep(), OWN), sweep())
    assert first + rest == unbroken


@pytest.mark.parametrize("times", [1, 2], ids=["killed once", "killed again before it was tried"])
def test_a_trial_that_died_is_failed_and_tried_again_once(tmp_path: Path, times: int) -> None:
    opened = study.open_study(tmp_path, sweep(), OWN)
    go_on(opened, sweep(), 2)
    died = study.ask(opened, sweep()).params  # and nobody tells
    for _ in range(times):
        opened = study.open_study(tmp_path, sweep(), OWN)
    assert [trial.state for trial in opened.trials].count(TrialState.FAIL) == 1
    tried = go_on(opened, sweep())
    assert tried[0] == died and len(tried) == 10
    assert len(study.settled(opened)) == 12 and [settings for settings in tried if settings == died] == [died]


def test_a_kill_between_queueing_and_failing_queues_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = study.open_study(tmp_path, sweep(), OWN)
    go_on(opened, sweep(), 2)
    study.ask(opened, sweep())
    with monkeypatch.context() as patch:
        patch.setattr(Study, "tell", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            study.open_study(tmp_path, sweep(), OWN)
    opened = study.open_study(tmp_path, sweep(), OWN)
    assert [trial.state for trial in opened.trials].count(TrialState.WAITING) == 1


def test_half_a_line_and_a_lock_of_a_killed_process_are_mended(tmp_path: Path) -> None:
    opened = study.open_study(tmp_path, sweep(), OWN)
    go_on(opened, sweep(), 3)
    journal = tmp_path / study.JOURNAL
    with journal.open("ab") as file:
        file.write(b'{"op_code":4,"wor')
    (tmp_path / f"{study.JOURNAL}.lock").symlink_to(journal)
    opened = study.open_study(tmp_path, sweep(), OWN)
    assert len(go_on(opened, sweep())) == 9
    assert len(study.settled(study.open_study(tmp_path, sweep(), OWN))) == 12


def test_a_grid_is_tried_once_point_by_point_a_kill_between(tmp_path: Path) -> None:
    entries = {"tuner.r": {"choices": [4, 8, 16]}, "warmup_ratio": {"low": 0.0, "high": 0.2, "step": 0.1}}
    settings = sweep(space=entries, sampler="grid")

    def count(opened: Study, trials: int | None = None) -> list[dict]:
        tried = []
        while study.left(opened, settings) > 0 and (trials is None or len(tried) < trials):
            trial = study.ask(opened, settings)
            opened.tell(trial, 1.0)
            tried.append(trial.params)
        return tried

    first = count(study.open_study(tmp_path, settings, OWN), 4)
    tried = first + count(study.open_study(tmp_path, settings, OWN))
    assert len(tried) == 9 and all(point in tried for point in space.grid(settings))


def test_the_best_are_told_apart_by_their_settings_and_by_what_the_objective_watches(tmp_path: Path) -> None:
    opened = study.open_study(tmp_path, sweep(), OWN)
    for value in (0.5, 0.4):
        opened.enqueue_trial({"learning_rate": 1e-3, "tuner.r": 4})
        opened.tell(study.ask(opened, sweep()), value)
    chosen = study.best(opened, 3)
    assert [trial.params for trial in chosen].count({"learning_rate": 1e-3, "tuner.r": 4}) <= 1
    assert chosen[0].value == 0.4
