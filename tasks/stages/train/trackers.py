"""Where a training can be followed beside MLflow, by transformers' names. Both write to this disk only."""

import importlib
import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.errors import ParamsError

if TYPE_CHECKING:
    from transformers import TrainerCallback


def _tensorboard(folder: Path) -> "TrainerCallback":
    from torch.utils.tensorboard import SummaryWriter
    from transformers.integrations import TensorBoardCallback

    return TensorBoardCallback(SummaryWriter(str(folder)))


def _wandb(folder: Path) -> "TrainerCallback":
    """A run without a network (`wandb sync` sends it, if somebody wants that); the callback takes the one that is."""
    from transformers.integrations import WandbCallback

    folder.mkdir(parents=True, exist_ok=True)
    wandb = importlib.import_module("wandb")  # by name: it may not be installed, and then has no types either
    wandb.init(project="anneal", name=folder.parent.name, dir=str(folder), mode="offline")
    return WandbCallback()


TRACKERS: dict[str, Callable[[Path], "TrainerCallback"]] = {"tensorboard": _tensorboard, "wandb": _wandb}


def problem(names: Sequence[str]) -> str:
    """Which of the trackers cannot be used here, and what to do; empty if all can."""
    for name in names:
        if importlib.util.find_spec(name) is None:
            return (
                f"report_to names {name}, which is not installed: `.venv/bin/uv pip install {name}`, or leave it out "
                "(MLflow follows every training)."
            )
    return ""


def callbacks(names: Sequence[str], run: Path) -> list["TrainerCallback"]:
    """The callbacks of the trackers, which write beside the checkpoints' folder: `trackers/<model>/<name>`.

    `run` is the folder of a run's checkpoints, `checkpoints/<model>/<run>`. ParamsError if one is not installed.
    """
    if reason := problem(names):
        raise ParamsError(f"params.yaml: train.{reason}")
    return [TRACKERS[name](run.parents[2] / "trackers" / run.parent.name / name) for name in names]
