"""Runs the pipeline for a retraining, and says what came of it."""

from collections.abc import Callable

from flows import pipeline
from tasks.errors import NotPromoted
from tasks.records.database import RetrainingState
from tasks.retrain.facts import RetrainOutcome
from tasks.steps.report import summary


def make(task: str, last: str, champion: str | None, say: Callable[[str], object]) -> RetrainOutcome:
    """Run the pipeline up to the model `last`; if the gate refuses it, up to `task` alone, whose new rows are no less
    good for that.
    """
    try:
        pipeline.run(last)
        return outcome_of(last, champion)
    except NotPromoted as refusal:
        if last == task:
            raise
        say(f"{task}: {last} is refused by the gate: {'; '.join(refusal.reasons)}; {task} is released without it")
    pipeline.run(task)
    return outcome_of(task, champion)


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
