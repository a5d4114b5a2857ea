"""One small project for all flow tests that need a finished run: making it takes a minute."""

from pathlib import Path

import pytest

from tests.flows import project


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in which `dvc repro` has run."""
    folder = project.make(tmp_path_factory.mktemp("made") / "project")
    project.run(folder, "dvc", "repro")
    return folder


@pytest.fixture(scope="module")
def served(made: Path) -> Path:
    """The same, after its pipeline has put its first model into production; stopped afterwards."""
    try:
        project.run(made, "flows.pipeline", "things")
        yield made
    finally:
        project.run(made, "tasks.serve.local", "down")
