"""One small project for all flow tests that need a finished run: making it takes a minute."""

import os
from pathlib import Path

import pytest
from filelock import FileLock

from tests.flows import project


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in which `dvc repro` has run: in one test process for all, a copy of it for each."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    first = shared / "first"
    with FileLock(shared / "first.lock"):
        if not first.exists():
            making = project.make(shared / "making")
            project.run(making, "dvc", "repro")
            making.rename(first)
    return project.copy(first, tmp_path_factory.mktemp("made") / "project")


@pytest.fixture(scope="module")
def served(made: Path) -> Path:
    """The same, after its pipeline has put its first model into production; stopped afterwards."""
    try:
        project.run(made, "flows.pipeline", "things")
        yield made
    finally:
        project.run(made, "tasks.serve.local", "down")
