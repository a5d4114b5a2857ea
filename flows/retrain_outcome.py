"""Runs the pipeline for a retraining, and says what came of it."""

from collections.abc import Callable
from dataclasses import replace

from flows import dag, pipeline
from flows.stage_failed import StageFailed
from tasks.errors import NotPromoted
from tasks.records.database import RetrainingState
from tasks.retrain.facts import RetrainOutcome
from tasks.steps.report import summary


def make(task: str, last: str, champion: str | None, say: Callable[[str], object]) -> RetrainOutcome:
    """Run the pipeline up to the model `last`. If the gate refuses that, or a stage fails that `task` does not need,
    run it up to `task` alone, whose new rows are no less good for that.
    """
    try:
        pipeline.run(last)
        return outcome_of(last, champion)
    except NotPromoted as refusal:
        if last == task:
            raise
        reason = f"{last} is refused by the gate: {'; '.join(refusal.reasons)}"
    except StageFailed as failure:
        if last == task or failure.stage in dag.stages(f"package@{task}"):
            raise
        reason = str(failure).rstrip(".")
    say(f"{task}: {reason}; {task} is released without {last}")
    pipeline.run(task)
    outcome = outcome_of(task, champion)
    return replace(outcome, words=f"{outcome.words}, without {last} ({reason})")


def outcome_of(task: str, champion: str | None) -> RetrainOutcome:
    """Return the outcome of a pipeline that ended well; `champion` is the version before it."""
    run = summary.read(task)
    registry = run["registry"]
    assert registry is not None  # a successful run has registered its version
    version = f"version {registry['version']}"
    if run["gate"]["held_back"]:
        return RetrainOutcome(RetrainingState.HELD_BACK, f"held back: {version} was rolled back before")
    if registry["version"] == champion:
        return RetrainOutcome(RetrainingState.UNCHANGED, f"nothing new: {version} stays")
    if "champion" in registry["aliases"]:
        return RetrainOutcome(RetrainingState.PROMOTED, f"promoted: {version}")
    return RetrainOutcome(RetrainingState.CANARY, f"canary: {version}")
