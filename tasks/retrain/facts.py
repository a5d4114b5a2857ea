"""The facts behind a retraining decision: plain values, gathered elsewhere and recorded with the decision."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from tasks.records.database import RetrainingState

HOUR, WEEK = 3600.0, 7 * 24 * 3600.0
VERDICTS = frozenset(RetrainingState) - {RetrainingState.FAILED, RetrainingState.KILLED}


@dataclass(frozen=True)
class Figure:
    """A share that the monitor measured on `n` answers."""

    value: float
    n: int


@dataclass(frozen=True)
class PastRetraining:
    """An earlier retraining of the task, and the facts known when it started."""

    started_at: float
    ended_at: float | None = None
    state: RetrainingState | None = None  # None while it runs, or if the outcome is unknown
    triggers: tuple[str, ...] = ()
    champion: str | None = None
    data: str | None = None
    data_known: str | None = None

    @property
    def is_judged(self) -> bool:
        """True if it ran to a verdict. One that was killed or failed did not, and its trigger may fire again."""
        return self.ended_at is not None and self.state in VERDICTS

    def hours(self, now: float) -> float:
        """Return how long it has run, up to `now`."""
        return max(0.0, (self.ended_at if self.ended_at is not None else now) - self.started_at) / HOUR


@dataclass(frozen=True)
class RetrainFacts:
    """The state of one task. `labelled` counts the corrected requests that no harvest has seen, `labelled_since` those
    of them corrected after the last start, `useless` those that cannot become rows of the dataset.
    """

    task: str
    champion: str | None = None  # its version
    asked_by: str | None = None  # the key that asked manually; "" for the command line
    paused: bool = False
    running: bool = False  # another retraining holds the lock
    canary: str = "off"
    alarm: tuple[str, ...] | None = None  # why the monitor raised its newest alarm about the champion
    figures: dict[str, Figure] = field(default_factory=dict)  # of the newest check of the champion
    labelled: int = 0
    labelled_since: int = 0
    good: int = 0  # answers rated good, and
    bad: int = 0  # bad, by thumbs; all of them, and
    rated_since: int = 0  # those rated after the last retraining that was judged
    learns_ratings: bool = False  # whether a model that is released as this task learns from ratings
    useless: int = 0
    why_useless: str = ""
    data: str | None = None  # hash of the source as it is
    data_known: str | None = None  # hash of the source as it was last trained on to a verdict, or last ingested
    watched_since: float = 0.0  # the first decision about this task; schedules count from there
    past: tuple[PastRetraining, ...] = ()  # newest first
    hours_elsewhere: float = 0.0  # of other tasks' retrainings within a week

    def plain(self) -> dict[str, Any]:
        """Return the facts as JSON values; of the past only the newest."""
        return asdict(self) | {"past": [asdict(past) for past in self.past[:1]]}


@dataclass(frozen=True)
class RetrainOutcome:
    """The outcome of a retraining, and a sentence about it; no state if there was no retraining."""

    state: RetrainingState | None
    words: str


def past_retraining(
    started_at: float, ended_at: float | None, state: str | None, decided_on: Mapping[str, Any]
) -> PastRetraining:
    """Return a past retraining, from its row and the facts of the decision that started it."""
    return PastRetraining(
        started_at,
        ended_at,
        next((known for known in RetrainingState if known.value == state), None),
        tuple(decided_on.get("triggers", ())),
        champion=decided_on.get("champion"),
        data=decided_on.get("data"),
        data_known=decided_on.get("data_known"),
    )
