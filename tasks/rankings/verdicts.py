"""Scores answers by comparisons of two, which a judge or people have made (`make judge`, `make sheet`): the share of an
answer's comparisons that it won, where a tie is half won; the mean over readers (Copeland's score).
"""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from tasks import paths
from tasks.dataset.sampled import Sampled
from tasks.errors import AnnealError
from tasks.judging import CRITERIA, verdicts
from tasks.rankings import Ranking, Scored


class Params(Ranking):
    """What is compared; `by` is the folder of the verdicts."""

    kind: Literal["verdicts"]
    comparisons: Annotated[int, Field(ge=1, description="most pairs of answers to a row that a reader compares")] = 3
    criteria: str = Field(
        default=CRITERIA, min_length=1, description="what makes an answer better, in sentences for whoever compares"
    )
    seed: int = Field(default=42, ge=0, description="for the choice of the pairs and their order in a sheet")


def scored(params: Params, rows: Sequence[Sampled], by: Path) -> Scored:
    """The score of each answer, None for one that nobody compared; the facts say who compared, and how far they agree.

    Raises AnnealError if no verdict is of these samples.
    """
    readings = verdicts.read(by)
    wins: dict[tuple[str, str], list[float]] = defaultdict(list)
    for verdict in (verdict for reading in readings for verdict in reading.verdicts):
        for place, answer in enumerate(verdict.answers):
            wins[verdict.row, answer].append(0.5 if verdict.best is None else float(verdict.best == place))
    scores = [[_mean(wins.get((row["id"], verdicts.key(answer["text"])))) for answer in row["answers"]] for row in rows]
    if all(score is None for of_row in scores for score in of_row):
        raise AnnealError(
            f"rank: none of the verdicts in {by} is of {params.samples} as it is now: run `make judge` or `make sheet`."
        )
    parts = [[dict[str, float]() for _ in of_row] for of_row in scores]
    return Scored(scores, [list(of_row) for of_row in parts], verdicts.facts(readings))


def _mean(values: Sequence[float] | None) -> float | None:
    return sum(values) / len(values) if values else None


def default_by(name: str, dataset: str) -> str:
    """The folder that the commands write to."""
    return paths.verdicts(name).as_posix()
