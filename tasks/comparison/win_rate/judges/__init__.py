"""Who says which of two answers is better: a file a kind. A kind is a function of rows and both models' answers."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypedDict

from tasks.dataset.rows import Prepared


class Part(TypedDict):
    """A score of which the verdict is the weighted sum, or one that is only measured (`weight` None), of each answer
    of the first model and of the second.
    """

    name: str
    weight: float | None
    first: list[float]
    second: list[float]


class Orders(TypedDict):
    """Of pairs that a judge read in both orders: the share with the same verdict, and with the answer that stood first
    preferred, a tie counted half (1/2 for a judge whom the place does not sway).
    """

    same: float
    first_preferred: float


@dataclass(frozen=True)
class Judgement:
    """How far the first model won each prompt (1, 1/2 for a tie, 0; None without a verdict), and why, in a few words.

    `by` names the judge in a sentence; `remarks` say how far to trust it.
    """

    by: str
    shares: list[float | None]
    notes: list[str]
    parts: list[Part] = field(default_factory=list)
    orders: Orders | None = None
    remarks: list[str] = field(default_factory=list)


class Judge(Protocol):
    """Compares two models' answers to the same rows."""

    def __call__(self, rows: Sequence[Prepared], first: Sequence[str], second: Sequence[str]) -> Judgement:
        """The verdict on each row."""
        ...
