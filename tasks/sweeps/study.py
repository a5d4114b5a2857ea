"""The Optuna study of a sweep: kept in a journal file, whole after a kill at any point, and what it tries next."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.stages.train.params import Train
from tasks.sweeps import space
from tasks.sweeps.params import Sweep

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial

JOURNAL = "study.journal"


def open_study(folder: Path, sweep: Sweep, own: Train) -> "Study":
    """The study in `folder`, made if there is none; trials that a killed run left are failed and queued again.

    Only one process may have it open.
    """
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    folder.mkdir(parents=True, exist_ok=True)
    journal = folder / JOURNAL
    _mend(journal)
    _, greater = space.watched(own)
    study = optuna.create_study(
        study_name="sweep",
        storage=JournalStorage(JournalFileBackend(str(journal))),
        direction="maximize" if greater else "minimize",
        pruner=_pruner(sweep),
        load_if_exists=True,
    )
    _queue_again(study)
    _queue_first(study, sweep, own)
    return study


def _mend(journal: Path) -> None:
    """Remove what a killed process left: a line that is not whole, after which Optuna would append; and its lock."""
    for lock in journal.parent.glob(f"{journal.name}.lock*"):
        lock.unlink()
    if journal.exists():
        content = journal.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if whole != content:
            with journal.open("r+b") as file:
                file.truncate(len(whole))


def _queue_again(study: "Study") -> None:
    """Fail trials that died, and queue their settings, in an order in which a kill in between loses none."""
    from optuna.trial import TrialState

    waiting = [trial.system_attrs.get("fixed_params") for trial in study.get_trials(states=(TrialState.WAITING,))]
    for trial in study.get_trials(states=(TrialState.RUNNING,)):
        settings = trial.params or trial.system_attrs.get("fixed_params")
        if settings and settings not in waiting:
            study.enqueue_trial(settings, user_attrs={"again": trial.number})
        study.tell(trial.number, state=TrialState.FAIL)


def _queue_first(study: "Study", sweep: Sweep, own: Train) -> None:
    """Queue the model's present settings, which the others have to beat, and every point of a grid."""
    points = [point] if (point := space.own_settings(sweep, own)) else []
    if sweep.sampler == "grid":
        everything = space.grid(sweep)
        points = [point for point in points if point in everything]
        points += [point for point in everything if point not in points]
    for settings in points:
        study.enqueue_trial(settings, skip_if_exists=True)


def _pruner(sweep: Sweep) -> "BasePruner":
    from optuna import pruners

    if sweep.pruner == "hyperband":
        return pruners.HyperbandPruner(min_resource=1, max_resource=sweep.evaluations, reduction_factor=3)
    if sweep.pruner == "median":
        return pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=2)  # never at the first evaluation
    return pruners.NopPruner()


def sampler(sweep: Sweep, number: int) -> "BaseSampler":
    """Who chooses trial `number`: seeded by it, so that a sweep that was killed goes on as if it had not been."""
    from optuna import samplers

    if sweep.sampler == "tpe":
        startup = max(4, sweep.trials // 4)
        return samplers.TPESampler(
            seed=sweep.seed + number, n_startup_trials=startup, multivariate=True, constant_liar=True
        )
    return samplers.RandomSampler(seed=sweep.seed + number)


def ask(study: "Study", sweep: Sweep) -> "Trial":
    """The next trial: one that is queued, or settings that the sampler chooses."""
    study.sampler = sampler(sweep, len(study.trials))
    return study.ask(space.distributions(sweep))


def settled(study: "Study") -> "list[FrozenTrial]":
    """The trials that have ended, pruned ones included; those that died are tried again and not counted."""
    from optuna.trial import TrialState

    return study.get_trials(states=(TrialState.COMPLETE, TrialState.PRUNED))


def best(study: "Study", count: int) -> "list[FrozenTrial]":
    """The `count` best trials that ran to their end, each with settings of its own."""
    from optuna.study import StudyDirection
    from optuna.trial import TrialState

    sign = -1 if study.direction == StudyDirection.MAXIMIZE else 1
    ended = study.get_trials(states=(TrialState.COMPLETE,))
    chosen: list[FrozenTrial] = []
    for trial in sorted(ended, key=lambda trial: (sign * (trial.value or 0.0), trial.number)):
        if all(trial.params != other.params for other in chosen):
            chosen.append(trial)
    return chosen[:count]


def left(study: "Study", sweep: Sweep) -> int:
    """How many trials are still to begin, if none of those that run dies."""
    from optuna.trial import TrialState

    total = len(space.grid(sweep)) if sweep.sampler == "grid" else sweep.trials
    return total - len(settled(study)) - len(study.get_trials(states=(TrialState.RUNNING,)))
