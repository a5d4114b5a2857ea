"""Scores answers by the rewards of a dataset: its rubric, its reward models, or both weighted (tasks/rewards)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from tasks import paths, rewards
from tasks.dataset.sampled import Sampled
from tasks.rankings import Ranking, Scored


class Params(Ranking):
    """Nothing more to set: `by` is the prepared folder of a row of rubrics or reward_models."""

    kind: Literal["rubric"]


def scored(params: Params, rows: Sequence[Sampled], by: Path) -> Scored:
    """The weighted sum of the rewards of each answer; held-out rewards are among the parts, and not in the sum."""
    flat = [(row, answer["text"]) for row in rows for answer in row["answers"]]
    scores = rewards.load(by).score([row for row, _ in flat], [text for _, text in flat])
    of_each = [
        {**{name: values[i] for name, values in scores.parts.items()}, **_held_out(scores.held_out, i)}
        for i in range(len(flat))
    ]
    totals, parts, start = list[list[float | None]](), list[list[Mapping[str, float]]](), 0
    for row in rows:
        end = start + len(row["answers"])
        totals.append([*scores.total[start:end]])
        parts.append([*of_each[start:end]])
        start = end
    return Scored(totals, parts, {})


def _held_out(scores: Mapping[str, Sequence[float]], place: int) -> dict[str, float]:
    return {f"held_out {name}": values[place] for name, values in scores.items()}


def default_by(name: str, dataset: str) -> str:
    """The prepared folder of the samples' own dataset."""
    return paths.prepared(dataset).as_posix()
