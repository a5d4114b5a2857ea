"""Trainings that several processes share, for the tests: `torchrun -m tests.tasks.shared_runs FOLDER` does those of
CASES, one after the other, as one process does them for comparison.
"""

import sys
from pathlib import Path
from types import SimpleNamespace

from tasks.files import read_jsonl, write_jsonl
from tests import encoders, tiny
from tests.tasks import matrix

ROWS = 19  # of which the last step of an epoch has three: fewer than a batch for each process
TOGETHER = {"num_train_epochs": 2, "eval_steps": 0.34, "early_stopping_patience": 9}
ACCUMULATED = {**TOGETHER, "per_device_train_batch_size": 2, "gradient_accumulation_steps": 4}
CASES = {
    "sft-lora": ("sft", "lora", ACCUMULATED),
    "classify-full": ("classify", "full", {**TOGETHER, "per_device_train_batch_size": 8, "dropout": 0.0}),
    "dpo-lora": ("dpo", "lora", ACCUMULATED),
    "pretrain-full": ("pretrain", "full", {**ACCUMULATED, "gradient_accumulation_steps": 2}),
}


def prepare(folder: Path) -> None:
    """Bases and rows of all cases."""
    tiny.make_base(folder / "writes")
    encoders.make_base(folder / "reads")
    for name, (objective, _, _) in CASES.items():
        rows = matrix.prepared(folder / f"rows-{name}", objective, folder / "writes")
        write_jsonl(rows / "train.jsonl", read_jsonl(rows / "train.jsonl")[:ROWS])


def run(folder: Path, name: str, place: Path) -> SimpleNamespace:
    """A case's training in `place`."""
    objective, tuner, changes = CASES[name]
    base = folder / ("reads" if objective == "classify" else "writes")
    return tiny.train_in(place, base, folder / f"rows-{name}", **matrix.settings(objective, tuner, **changes))


def main() -> None:
    from tasks import environment

    environment.apply()
    folder = Path(sys.argv[1])
    for name in CASES:
        run(folder, name, folder / "two" / name)


if __name__ == "__main__":
    main()
