"""A journal of the trainings of a row on this machine: how fast they were, and what they took."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from tasks.files import write_text
from tasks.plan.amounts import Amounts
from tasks.stages.train.params import Train

FILE = "past.jsonl"  # beside the checkpoints of a row
KEPT = 20  # lines
# Settings that change neither the time of a token nor the memory.
NEITHER = (
    "learning_rate",
    "num_train_epochs",
    "warmup_ratio",
    "lr_scheduler_type",
    "max_grad_norm",
    "weight_decay",
    "eval_steps",
    "load_best_model_at_end",
    "early_stopping_patience",
    "seed",
)


@dataclass(frozen=True)
class Run:
    """One training, or the part of it that one process did."""

    key: str
    work: int  # see Amounts.work
    seconds: float  # its evaluations and checkpoints included
    peak: int  # bytes

    def seconds_for(self, amounts: Amounts) -> float:
        """The seconds of a run with the same key."""
        return self.seconds * amounts.work / self.work


def key(params: Train, amounts: Amounts) -> str:
    """What two runs have in common if one tells how long the other will take: settings, size of the model, machine."""
    settings = params.model_dump_json(exclude=set(NEITHER))
    machine = _machine()
    return hashlib.sha256("\n".join([settings, str(amounts.parameters), machine]).encode()).hexdigest()[:16]


def _machine() -> str:
    import torch

    from tasks.device import device

    if device() == "cuda":
        return str(torch.cuda.get_device_name())
    return f"{device()} {torch.get_num_threads()}"


def last(checkpoints: Path, of: str) -> Run | None:
    """The last run with this key; None if there is none."""
    return next((run for run in reversed(list(_read(checkpoints / FILE))) if run.key == of), None)


def keep(checkpoints: Path, run: Run) -> None:
    """Add a run to the journal."""
    runs = [*_read(checkpoints / FILE), run][-KEPT:]
    write_text(checkpoints / FILE, "".join(f"{json.dumps(asdict(run))}\n" for run in runs))


def _read(path: Path) -> Iterator[Run]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        try:
            yield Run(**json.loads(line))
        except (ValueError, TypeError):  # torn, or of another version: it is only an estimate
            continue
