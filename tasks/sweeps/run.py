"""A sweep from its rows to its verdict; each part that is done is kept, so a sweep that was killed goes on."""

import os
import shutil
from collections.abc import Callable
from typing import TYPE_CHECKING, TypedDict

from tasks.errors import AnnealError
from tasks.files import read_json, write_json
from tasks.locks import hold_lock
from tasks.sweeps import budget, children, finals, page, rows, space, study, words
from tasks.sweeps.budget import Pace
from tasks.sweeps.judge import verdict
from tasks.sweeps.outcome import FILE, Outcome, finalist_row, trial_row, verdict_row
from tasks.sweeps.place import Place
from tasks.sweeps.task import Result, Task
from tasks.sweeps.tracked import Tracked
from tasks.sweeps.trials import Trials

if TYPE_CHECKING:
    from optuna import Study

UNLIMITED_PROBE = 10.0  # seconds of the training that measures memory, where trials are not limited by time


class Plan(TypedDict):
    """How long trials train, and how many at once."""

    epochs: float | None
    side_by_side: int
    memory: int  # bytes that a training of the present settings took; 0 if it was not measured


def run(place: Place, say: Callable[[str], None]) -> Outcome:
    """Sweep, judge, and write `sweep.json` into the report; return its content."""
    with hold_lock(place.home / ".lock", f"another sweep of {place.model} is running; waiting for it to end"):
        seen, back = rows.split(place.prepared, place.rows, place.sweep.held_back, place.sweep.seed)
        say(f"{seen} validation rows are shown to trials, {back} are held back; test rows are not read")
        opened = study.open_study(place.home, place.sweep, place.own)
        tracked = Tracked(place.model, place.home)
        plan = _plan(place, opened, say)
        if done := len(study.settled(opened)):
            say(f"{done} trials are done already")
        Trials(place, opened, tracked, plan["epochs"], plan["side_by_side"], say).run()
        chosen = finals.candidates(place, opened)
        if not any(entry.number is not None for entry in chosen):
            raise AnnealError("no trial ran to its end: give them more time (seconds), or set pruner: none.")
        finalists = finals.run(place, chosen, tracked, plan["side_by_side"], say)
        ended = [trial for trial in study.settled(opened) if trial.user_attrs.get("ended") == "complete"]
        measure, greater = space.watched(place.own)
        judged = verdict(finalists, len(ended), greater, place.sweep.seed)
        outcome: Outcome = {
            "model": place.model,
            "measure": measure,
            "greater": greater,
            "epochs": plan["epochs"],
            "side_by_side": plan["side_by_side"],
            "rows": {"shown": seen, "held_back": back},
            "sweep": place.sweep.model_dump(),
            "trials": [trial_row(place.sweep, trial) for trial in study.settled(opened)],
            "finalists": [finalist_row(entry) for entry in finalists],
            "verdict": verdict_row(judged),
            "importance": importance(opened),
        }
        write_json(place.report / FILE, outcome)
        page.write(outcome, place.report)
        tracked.finish({"trials": len(outcome["trials"])}, words.sentence(outcome))
        return outcome


def _plan(place: Place, opened: "Study", say: Callable[[str], None]) -> Plan:
    """The plan that this sweep has begun with, or a new one, by a short training of the present settings."""
    file, sweep = place.home / "plan.json", place.sweep
    if file.exists():
        kept: Plan = read_json(file)
        return {**kept, "side_by_side": sweep.at_once or kept["side_by_side"]}
    own = place.own
    measured = _probe(place, say) if sweep.seconds is not None or sweep.at_once is None else None
    epochs = None
    if sweep.seconds is not None and measured:
        epochs = budget.epochs_in(sweep.seconds, measured, sweep, own.num_train_epochs)
    if sweep.steps is not None:
        count = sum(1 for _ in (place.rows / "train.jsonl").open(encoding="utf-8"))
        batch = own.per_device_train_batch_size * own.gradient_accumulation_steps
        epochs = budget.epochs_of(sweep.steps, batch, count, own.num_train_epochs)
    memory = measured.memory if measured else 0
    cores, devices = os.cpu_count() or 1, len(children.gpus())
    room = children.room(cores, children.free_memory(), memory, devices)
    plan: Plan = {"epochs": epochs, "side_by_side": sweep.at_once or room, "memory": memory}
    write_json(file, plan)
    share = "" if epochs is None else f", {epochs:.3g} epochs each"
    say(f"{study.left(opened, sweep)} trials, {plan['side_by_side']} at once{share}")
    return plan


def _probe(place: Place, say: Callable[[str], None]) -> Pace:
    """Train the present settings for a short while, to know pace and memory."""
    say("a short training of the present settings measures the pace")
    folder = place.home / "probe"
    shutil.rmtree(folder, ignore_errors=True)
    section = place.own.model_copy(update={"eval_steps": 1.0, "load_best_model_at_end": False})
    seconds = budget.PROBE * place.sweep.seconds if place.sweep.seconds else UNLIMITED_PROBE
    task = Task(section.model_dump(), str(place.parent), str(place.rows), probe=seconds)
    child = children.begin(folder, task, 0, place.sweep.at_once or 1)
    try:
        child.process.wait()
        result: Result | None = child.result()
        if result is None:
            raise AnnealError(f"the present settings of {place.model} cannot be trained: {child.problem()}")
        return budget.pace(result)
    finally:
        child.stop()
        shutil.rmtree(folder, ignore_errors=True)


def importance(opened: "Study") -> dict[str, float]:
    """The share of each setting in how much trials differ (fANOVA, Hutter et al. 2014); {} where it says nothing."""
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances

    ended = [trial for trial in study.settled(opened) if trial.user_attrs.get("ended") == "complete"]
    if len({trial.value for trial in ended}) < 4:
        return {}
    try:
        shares = get_param_importances(opened, evaluator=FanovaImportanceEvaluator(seed=0))
    except RuntimeError:  # all trials alike
        return {}
    return {name: float(value) for name, value in shares.items()}
