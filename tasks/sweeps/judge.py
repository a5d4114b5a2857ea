"""Who wins: the finalists' means on rows that no trial has seen, the lead of the best one, and how much of a lead
on the rows that were chosen by is luck.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

PRESENT = "present"  # the settings that the model has now
CONFIDENCE = 0.95
RESAMPLES = 10_000


@dataclass(frozen=True)
class Finalist:
    """A training in full: `number` of its trial, its settings, and the measure on each row."""

    name: str
    number: int | None  # of the present settings, if no trial had them
    settings: Mapping[str, object]
    shown: Sequence[float]
    held_back: Sequence[float]
    seconds: float
    memory: int


@dataclass(frozen=True)
class Lead:
    """By how much the winner is better than the present settings on rows held back; above 0 is better."""

    value: float
    interval: tuple[float, float] | None  # None where rows are not measured one by one


@dataclass(frozen=True)
class Verdict:
    """The winner, its lead, and what the best of several is better by if all are equal (sigma √(2 ln n))."""

    winner: str
    is_better: bool  # than the present settings, beyond chance
    lead: Lead | None  # None if the present settings win
    lead_shown: float | None  # the same on the rows that trials were chosen by
    optimism: float | None  # of the best trial, on those rows
    optimism_of_finalists: float | None  # of the best finalist, on rows held back


def verdict(finalists: Sequence[Finalist], trials: int, greater: bool, seed: int) -> Verdict:
    """Judge `finalists`, one of them PRESENT, chosen from so many `trials`."""
    sign = 1.0 if greater else -1.0
    winner = max(finalists, key=lambda entry: (sign * _mean(entry.held_back), entry.name == PRESENT))
    present = next(entry for entry in finalists if entry.name == PRESENT)
    challengers = len(finalists) - 1
    lead = None if winner is present else _lead(winner.held_back, present.held_back, sign, challengers, seed)
    return Verdict(
        winner.name,
        lead is not None and lead.interval is not None and lead.interval[0] > 0,
        lead,
        sign * (_mean(winner.shown) - _mean(present.shown)) if lead else None,
        _optimism([entry.shown for entry in finalists], trials),
        _optimism([entry.held_back for entry in finalists], len(finalists)),
    )


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))


def _lead(ours: Sequence[float], theirs: Sequence[float], sign: float, challengers: int, seed: int) -> Lead:
    """The mean difference row by row, with its bootstrap interval, wider the more `challengers` the best one is of
    (Bonferroni).
    """
    if len(ours) != len(theirs) or len(ours) < 2:
        return Lead(sign * (_mean(ours) - _mean(theirs)), None)
    differences = sign * (np.array(ours) - np.array(theirs))
    picks = np.random.default_rng(seed).integers(0, len(differences), (RESAMPLES, len(differences)))
    tail = (1 - CONFIDENCE) / challengers / 2
    ends = np.quantile(differences[picks].mean(axis=1), [tail, 1 - tail])
    return Lead(float(differences.mean()), (float(ends[0]), float(ends[1])))


def _optimism(values: Sequence[Sequence[float]], count: int) -> float | None:
    """sigma √(2 ln n): about what the best of n equal trials seems better by; None if rows are not measured.

    sigma is the standard error of a trial's mean, without what all trials have in common: some rows are hard for all.

    Leadbetter, Lindgren, Rootzén 1983, theorem 1.5.3: the greatest of n normal values is about √(2 ln n) above 0.
    """
    if len(values) < 2 or len({len(rows) for rows in values}) > 1 or len(values[0]) < 2:
        return None
    table = np.array(values)
    own = table - table.mean(axis=0) - (table.mean(axis=1) - table.mean())[:, None]
    freedom = (table.shape[0] - 1) * (table.shape[1] - 1)
    sigma = math.sqrt(float((own**2).sum()) / freedom / table.shape[1])
    return sigma * math.sqrt(2 * math.log(max(count, 2)))
