"""One small project for all flow tests that need a finished run: making it takes a minute."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from filelock import FileLock

from tasks import environment
from tests.flows import project, warm
from tests.flows.served import client_of

IS_WORKER = "PYTEST_XDIST_WORKER" in os.environ


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all test processes of this run share."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if IS_WORKER else own


@pytest.fixture(scope="session")
def warmed(shared: Path) -> Iterator[None]:
    """What `project.run` starts, and the stages that DVC starts, are forks of a process that has loaded the libraries,
    one for all test processes.
    """
    if sys.platform != "linux":  # a file descriptor of a process is Linux's
        yield
        return
    with FileLock(shared / "warm.lock"):
        if not (shared / "warm").exists():
            keeper = os.getppid() if IS_WORKER else os.getpid()
            warm.start(shared / "warm", keeper, {**os.environ, **environment.DEFAULTS})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(project, "PYTHON", shared / "warm")
        yield


@pytest.fixture(scope="session")
def first(shared: Path, warmed: None) -> Path:
    """A project in which `dvc repro` has run, in one test process for all; nobody changes it."""
    first = shared / "first"
    with FileLock(shared / "first.lock"):
        if not first.exists():
            making = project.make(shared / "making")
            project.run(making, "dvc", "repro")
            making.rename(first)
    return first


@pytest.fixture(scope="module")
def made(first: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of it for each file, in which tests go on from one another; what one file serves, no other finds."""
    return project.copy(first, tmp_path_factory.mktemp("made") / "project")


@pytest.fixture(scope="module")
def untouched(first: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of it for the tests of one file."""
    return project.copy(first, tmp_path_factory.mktemp("untouched") / "project")


@pytest.fixture(scope="module")
def served(made: Path) -> Iterator[Path]:
    """The same, after its pipeline has put its first model into production; stopped afterwards."""
    try:
        project.run(made, "flows.pipeline", "things")
        yield made
    finally:
        project.run(made, "tasks.serve.local", "down")


@pytest.fixture(scope="module")
def client(served: Path) -> Iterator[httpx.Client]:
    """A client of the gateway of what a file serves."""
    with client_of(served) as made:
        yield made
