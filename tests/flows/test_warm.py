"""A program that starts as a fork says and returns what one in a process of its own does."""

import subprocess

import pytest

from tests.flows import project

pytestmark = pytest.mark.slow  # starts processes


def test_a_stage_that_fails_says_and_returns_the_same(warmed: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_STAGE", "ingest@none")
    words = ["-m", "tasks.stages.ingest", "--out", "data/raw/{row}"]
    forked, own = (
        subprocess.run([python, *words], cwd=project.ROOT, capture_output=True, text=True)
        for python in (project.PYTHON / "python", project.OWN / "python")
    )
    assert project.PYTHON != project.OWN
    assert (forked.returncode, forked.stdout, forked.stderr) == (own.returncode, own.stdout, own.stderr)
    assert own.returncode == 2 and "datasets.none" in own.stderr
