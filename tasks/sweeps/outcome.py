"""What a sweep came to, as `sweep.json` holds it and as its page shows it."""

from dataclasses import asdict
from typing import TYPE_CHECKING, TypedDict, cast

from tasks.sweeps import space
from tasks.sweeps.judge import Finalist, Verdict
from tasks.sweeps.params import Sweep

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

FILE = "sweep.json"


class TrialRow(TypedDict):
    """A trial that has ended."""

    number: int  # from 1
    state: str  # complete, pruned, failed
    value: float | None  # of the measure, if it is complete
    settings: dict[str, space.Value]
    curve: list[float]  # the measure at each evaluation
    figures: dict[str, float]  # seconds, memory (bytes), tokens_per_second, …
    why: str | None  # it failed


class FinalistRow(TypedDict):
    """A training in full."""

    name: str  # the number of its trial, or `present`
    number: int | None
    settings: dict[str, space.Value]
    shown: list[float]
    held_back: list[float]
    seconds: float
    memory: int


class LeadRow(TypedDict):
    """How much better the winner is than the present settings."""

    value: float
    interval: tuple[float, float] | None


class VerdictRow(TypedDict):
    """As tasks/sweeps/judge.py judges."""

    winner: str
    is_better: bool
    lead: LeadRow | None
    lead_shown: float | None
    optimism: float | None
    optimism_of_finalists: float | None


class Outcome(TypedDict):
    """All of it."""

    model: str
    measure: str
    greater: bool
    epochs: float | None  # of each trial; None: as many as its settings say
    side_by_side: int
    rows: dict[str, int]  # shown to trials, and held back
    sweep: dict[str, object]
    trials: list[TrialRow]
    finalists: list[FinalistRow]
    verdict: VerdictRow
    importance: dict[str, float]  # share of each setting in how much trials differ


def trial_row(sweep: Sweep, trial: "FrozenTrial") -> TrialRow:
    """A trial as Optuna keeps it."""
    return {
        "number": trial.number + 1,
        "state": trial.user_attrs.get("ended", "pruned"),
        "value": trial.value,
        "settings": space.completed(sweep, trial.params),
        "curve": [value for _, value in sorted(trial.intermediate_values.items())],
        "figures": trial.user_attrs.get("figures", {}),
        "why": trial.user_attrs.get("why"),
    }


def finalist_row(finalist: Finalist) -> FinalistRow:
    """A finalist as JSON."""
    return cast(FinalistRow, asdict(finalist))


def verdict_row(verdict: Verdict) -> VerdictRow:
    """A verdict as JSON."""
    return cast(VerdictRow, asdict(verdict))
