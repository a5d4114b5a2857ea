"""Verdicts from scores: of two answers the one with the higher score wins."""

from collections.abc import Mapping, Sequence

from tasks.comparison.win_rate.judges import Judgement, Part
from tasks.rewards import Scores

SAME = 1e-9  # a difference of sums of the same numbers in another order


def by_scores(by: str, first: Scores, second: Scores, weights: Mapping[str, float]) -> Judgement:
    """The verdict of the total score of each answer; `weights` are those of its parts."""
    pairs = list(zip(first.total, second.total, strict=True))
    rewarded = [_part(name, weight, first.parts, second.parts) for name, weight in weights.items()]
    held_out = [_part(name, None, first.held_out, second.held_out) for name in first.held_out]
    return Judgement(
        by=by,
        shares=[verdict(ours, theirs) for ours, theirs in pairs],
        notes=[f"{ours:.3g} against {theirs:.3g}" for ours, theirs in pairs],
        parts=[*rewarded, *held_out],
    )


def verdict(first: float, second: float) -> float:
    """1 when the first score is higher, 0 when it is lower, 1/2 when both are the same."""
    return 0.5 if abs(first - second) <= SAME else float(first > second)


def _part(
    name: str, weight: float | None, first: Mapping[str, Sequence[float]], second: Mapping[str, Sequence[float]]
) -> Part:
    return {"name": name, "weight": weight, "first": list(first[name]), "second": list(second[name])}
