"""The disk that a training takes: checkpoints while it runs, then what it has learnt. In bytes."""

import shutil
from pathlib import Path

from tasks.plan.memory import GIB
from tasks.stages.train.params import Train

# Bytes that an optimizer keeps for each weight that learns (moments; quantised ones with their scales).
STATE = {
    "adamw_torch": 8.0,
    "adamw_torch_fused": 8.0,
    "adamw_8bit": 2.1,
    "adamw_bnb_8bit": 2.1,
    "paged_adamw_8bit": 2.1,
    "paged_adamw_32bit": 8.0,
    "adafactor": 0.1,  # a row and a column of each matrix
    "sgd": 0.0,
    "adagrad": 4.0,
    "rmsprop": 4.0,
    "lion_8bit": 1.1,
    "lion_32bit": 4.0,
    "paged_lion_8bit": 1.1,
    "paged_lion_32bit": 4.0,
}
FULL_PRECISION = 4  # bytes of a weight that learns
KEPT_AT_ONCE = 3  # checkpoints: the best and the last, and a new one before an older is removed
START = 1  # copy of the weights that learn, to go back to before there is a checkpoint
COPIES = 2  # of what was learnt: the output, and DVC's cache
SPARE = GIB // 4  # for logs, reports and other programs


def optimizer_state(params: Train, trained: int) -> int:
    """What the optimizer keeps of so many weights."""
    settings = (params.optim_args or "").replace(" ", "")
    more = 4.0 * ("momentum=" in settings) + 4.0 * ("centered=true" in settings.lower())
    return int((STATE[params.optim] + more) * trained)


def checkpoint(params: Train, trained: int) -> int:
    """One checkpoint: the weights that learn, and the optimizer's state."""
    return FULL_PRECISION * trained + optimizer_state(params, trained)


def needed(params: Train, trained: int, evaluations: int) -> int:
    """The most that a run takes at once."""
    keeps_all = hasattr(params.objective, "limits")  # see tasks/stages/train/fit.py
    kept = evaluations if keeps_all else min(evaluations, KEPT_AT_ONCE)
    return kept * checkpoint(params, trained) + (START + COPIES) * FULL_PRECISION * trained


def free(place: Path) -> int:
    """What is free where `place` is, or will be."""
    there = next(folder for folder in (place, *place.absolute().parents) if folder.exists())
    return shutil.disk_usage(there).free


def used(folder: Path) -> int:
    """What the files of a folder take."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
