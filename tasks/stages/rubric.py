"""Gives the rows of a dataset a rubric: what makes an answer to them a good one, and what is only measured. To later
stages the result is a dataset.

Each row gets `rubric`, the hash of the file that holds the rubric (tasks/rewards), so that a training by reward is done
again when its rubric changes.
"""

import shutil
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from tasks import rewards, stage
from tasks.dataset.prepared import splits
from tasks.errors import AnnealError
from tasks.files import read_json, whole_directory, write_json, write_jsonl
from tasks.rewards import AnyReward, Weighted
from tasks.section import Section


class RubricRow(Section):
    """A row of `rubrics`: a dataset, and what is rewarded in answers to its rows."""

    dataset: Annotated[str, Field(description="row of datasets, or of another table of rows made of datasets")]
    rewards: list[AnyReward] = Field(min_length=1, description="what an answer is rewarded for")
    held_out: list[AnyReward] = Field(
        default=[], description="what is measured and never rewarded, to see that the reward means something"
    )

    @model_validator(mode="after")
    def _names_are_different(self) -> "RubricRow":
        for names in (_titles(self.rewards), _titles(self.held_out)):
            twice = [name for name, count in Counter(names).items() if count > 1]
            if twice:
                raise ValueError(f"two rewards are called `{twice[0]}`; give one of them another name")
        return self


def _titles(section: Sequence[Weighted]) -> list[str]:
    return [reward.title for reward in section]


def rubric(params: RubricRow, prepared: Path, out: Path, report: Path) -> None:
    """Write `out/` like a prepared dataset, and what the rubric gives its own right answers to `report`.

    Raises AnnealError for rows that are no prompts with answers.
    """
    spec, rows = read_json(prepared / "format.json"), splits(prepared)
    if any(not row["messages"] for row in rows["train"]):
        raise AnnealError(
            f"rubric: rows of {params.dataset} are texts without a prompt, to which nothing is answered; give a "
            "rubric to a dataset of prompts."
        )
    with whole_directory(out) as folder:
        shutil.copytree(prepared, folder, dirs_exist_ok=True)
        named = rewards.write(folder, params.rewards, params.held_out, spec)
        for name, split in rows.items():
            write_jsonl(folder / f"{name}.jsonl", [{**row, "rubric": named} for row in split])
        scores = rewards.load(folder).score(rows["test"], [row["answer"] for row in rows["test"]])
    parts, held_out = (
        {name: _mean(values) for name, values in part.items()} for part in (scores.parts, scores.held_out)
    )
    count = len(rows["test"])
    write_json(report, {"rows": count, "total": _mean(scores.total), "rewards": parts, "held_out": held_out})
    shown = ", ".join(f"{name} {value:.3f}" for name, value in [*parts.items(), *held_out.items()])
    print(f"rubric: the {count} right test answers earn: {shown}", file=sys.stderr, flush=True)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


if __name__ == "__main__":
    stage.main(rubric, RubricRow, "rubrics.{row}")
