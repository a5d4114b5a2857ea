"""Has answers to the rows of a dataset rewarded by a reward model, beside its rubric if it has one. To later stages the
result is a dataset.

The model lies in the folder of the dataset, and each row gets `rubric`, the hash of the file that names the model's.
"""

import shutil
import sys
from pathlib import Path
from typing import Annotated

from pydantic import Field

from tasks import rewards, stage
from tasks.dataset.prepared import splits
from tasks.files import read_json, sha256, whole_directory, write_json, write_jsonl
from tasks.rewards import ByModel
from tasks.section import Section


class RewardModelRow(Section):
    """A row of `reward_models`: a dataset, and a model that scores answers to its rows."""

    dataset: Annotated[str, Field(description="row of datasets, or of another table of rows made of datasets")]
    model: Annotated[str, Field(description="row of models whose objective is reward")]
    weight: float = Field(default=1.0, ge=-1000, le=1000, description="factor of its score in the total reward")
    caution: float = Field(
        default=0.0, ge=0, le=100, description="standard deviations of an ensemble's heads that are taken off the score"
    )


def reward_model(params: RewardModelRow, prepared: Path, weights: Path, adapter: Path, out: Path, report: Path) -> None:
    """Write `out/` like a prepared dataset, with the model in it, and what it gives the right test answers to `report`.

    Raises AnnealError if `weights/` and `adapter/` hold no reward model.
    """
    from tasks.models import reward

    spec, rows = read_json(prepared / "format.json"), splits(prepared)
    with whole_directory(out) as folder:
        shutil.copytree(prepared, folder, dirs_exist_ok=True)
        place = folder / rewards.MODELS / params.model
        reward.write(weights, adapter, place)
        model = ByModel(params.model, params.weight, params.caution, sha256(place))
        scores = model.scores(place.parent, rows["test"], [row["answer"] for row in rows["test"]])
        named = rewards.write(folder, (), (), spec, [model])
        for name, split in rows.items():
            write_jsonl(folder / f"{name}.jsonl", [{**row, "rubric": named} for row in split])
    mean = sum(scores) / len(scores) if scores else 0.0
    write_json(report, {"rows": len(scores), "mean": mean, "lowest": min(scores), "highest": max(scores)})
    print(f"reward_model: the {len(scores)} right test answers earn {mean:.3f} of {params.model}", file=sys.stderr)


if __name__ == "__main__":
    stage.main(reward_model, RewardModelRow, "reward_models.{row}")
