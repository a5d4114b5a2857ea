"""Trainings whose weights are divided among processes, for the tests: `torchrun -m tests.tasks.sharded_runs FOLDER`
does one in `FOLDER/divided`, and another that is stopped on its way and continued in `FOLDER/continued`.
"""

import sys
from pathlib import Path
from types import SimpleNamespace

from tests import tiny
from tests.tasks import matrix
from tests.tasks.shared_runs import ACCUMULATED
from tests.tasks.stopping import broken

CHANGES = matrix.settings("sft", "full", **ACCUMULATED)


def run(folder: Path, place: str, **changes: object) -> SimpleNamespace:
    """The training in `folder/place`."""
    return tiny.train_in(folder / place, folder / "base", folder / "rows", **{**CHANGES, **changes})


def main() -> None:
    from tasks import environment

    environment.apply()
    folder = Path(sys.argv[1])
    run(folder, "divided", fsdp=True)
    broken(folder / "continued", folder / "base", folder / "rows", 4, **{**CHANGES, "fsdp": True})
    run(folder, "continued", fsdp=True)


if __name__ == "__main__":
    main()
