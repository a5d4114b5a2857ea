"""One small project for all flow tests that need a finished run: making it takes a minute."""

import os
from pathlib import Path

import pytest
from filelock import FileLock

from tests.flows import project


@pytest.fixture(scope="session")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in which `dvc repro` has run, in one test process for all; nobody changes it."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    first = shared / "first"
    with FileLock(shared / "first.lock"):
        if not first.exists():
            making = project.make(shared / "making")
            project.run(making, "dvc", "repro")
            making.rename(first)
    return first


@pytest.fixture(scope="session")
def made(first: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of it for each test process, in which tests go on from one another."""
    return project.copy(first, tmp_path_factory.mktemp("made") / "project")


@pytest.fixture(scope="module")
def untouched(first: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of it for the tests of one file."""
    return project.copy(first, tmp_path_factory.mktemp("untouched") / "project")


@pytest.fixture(scope="module")
def served(made: Path) -> Path:
    """The same, after its pipeline has put its first model into production; stopped afterwards."""
    try:
        project.run(made, "flows.pipeline", "things")
        yield made
    finally:
        project.run(made, "tasks.serve.local", "down")
