"""Trainings whose weights are divided among two processes, for the tests: one in `FOLDER/divided`, and another that is
stopped on its way and continued in `FOLDER/continued`; and that of one process, in `FOLDER/one`.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from tasks import environment
from tasks.files import write_json
from tasks.stages.train import sharding
from tests import tiny
from tests.tasks import matrix
from tests.tasks.shared_runs import ACCUMULATED
from tests.tasks.stopping import broken

if TYPE_CHECKING:
    from tasks.stages.train.sharded_trainer import ShardedTrainer

CHANGES = matrix.settings("sft", "full", **{**ACCUMULATED, "eval_steps": 0.3})  # after steps 2, 4 and 6 of 6
STOPPED = 5  # the last checkpoint is from the middle of the second epoch


def run(folder: Path, place: str, **changes: object) -> SimpleNamespace:
    """The training in `folder/place`."""
    return tiny.train_in(folder / place, folder / "base", folder / "rows", **{**CHANGES, **changes})


def noted(folder: Path, make_whole: Callable[..., None]) -> Callable[..., None]:
    """`make_whole`, which first notes how many numbers of weights and of the optimizer this process has."""

    def note(trainer: "ShardedTrainer", *args: object) -> None:
        moments = [value for state in trainer.optimizer.state.values() for value in state.values() if value.dim()]
        counts = {
            "whole": sum(weight.numel() for weight in trainer.model.parameters()),
            "held": sum(weight.numel() for weight in trainer.held().values()),
            "optimizer": sum(sharding.part(value).numel() for value in moments),
        }
        write_json(folder / f"held-{os.environ['RANK']}.json", counts)
        make_whole(trainer, *args)

    return note


def process(folder: Path, rank: int, port: int) -> None:
    """One of two processes, or the only one if `rank` is negative; what it says goes to `said-RANK.txt`."""
    import torch

    from tasks.stages.train.sharded_trainer import ShardedTrainer

    sys.stdout = sys.stderr = (folder / f"said-{rank}.txt").open("w", encoding="utf-8", buffering=1)
    os.environ |= {"OMP_NUM_THREADS": "1", "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow-{rank}.db"}
    torch.set_num_threads(1)
    environment.apply()
    if rank < 0:
        run(folder, "one")
        return
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ShardedTrainer, "make_whole", noted(folder, ShardedTrainer.make_whole))
        run(folder, "divided", fsdp=True)
    broken(folder / "continued", folder / "base", folder / "rows", STOPPED, **{**CHANGES, "fsdp": True})
    run(folder, "continued", fsdp=True)
