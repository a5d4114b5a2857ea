"""Where a sweep keeps what it does, and what it works on."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from tasks.files import sha256
from tasks.stages.train.params import Train
from tasks.sweeps.params import Sweep

SWEEPS = Path(".anneal/sweeps")
# A sweep with other values of these goes on from what was done.
GOES_ON = {"trials", "finalists", "at_once", "pruner"}


@dataclass(frozen=True)
class Place:
    """A sweep of a model: its section, the model's own section `train`, and the folders that it reads and writes."""

    model: str
    sweep: Sweep
    own: Train
    parent: Path
    prepared: Path
    home: Path  # of this sweep of these rows and weights
    report: Path

    @property
    def rows(self) -> Path:
        """The dataset as trials see it."""
        return self.home / "prepared"


def place_of(model: str, sweep: Sweep, own: Train, parent: Path, prepared: Path, report: Path) -> Place:
    """The place of a sweep: another one if the rows, the weights or what is tried are others."""
    parts = [
        json.dumps({k: v for k, v in sweep.model_dump().items() if k not in GOES_ON}, sort_keys=True),
        own.model_dump_json(),
        sha256(parent),
        sha256(prepared / "train.jsonl"),
        sha256(prepared / "validation.jsonl"),
    ]
    key = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
    return Place(model, sweep, own, parent, prepared, SWEEPS / model / key, report)
