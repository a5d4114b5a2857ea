"""The mark `slow` means what it says: a test without it that starts a process, listens or loads torch fails."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.project import ROOT

pytestmark = pytest.mark.slow  # each test trains, or loads a model

PLANTED = """
import socket, subprocess, sys

import pytest


def test_pure():
    assert sorted([2, 1]) == [1, 2]


def test_process():
    subprocess.run([sys.executable, "-c", ""], check=True)


def test_server():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))


def test_training():
    import torch


@pytest.mark.slow
def test_marked():
    subprocess.run([sys.executable, "-c", ""], check=True)
"""


def test_what_only_slow_tests_may_do_is_seen(tmp_path: Path) -> None:
    (tmp_path / "test_planted.py").write_text(PLANTED)
    done = quick_tests(tmp_path)
    assert "4 passed, 1 deselected, 3 errors" in done.stdout, done.stdout + done.stderr
    for name, effect in (
        ("process", "starts a process (subprocess.Popen)"),
        ("server", "listens on a socket"),
        ("training", "loads torch"),
    ):
        assert f"test_planted.py::test_{name} {effect}: mark it slow, or make it lighter" in done.stdout


def test_what_a_module_of_tests_loads_at_its_top_is_seen(tmp_path: Path) -> None:
    (tmp_path / "test_planted.py").write_text("import torch\n\n\ndef test_pure():\n    assert torch\n")
    done = quick_tests(tmp_path)
    assert "collecting the tests loads torch: import it where it is used" in done.stdout + done.stderr
    assert "1 failed" in done.stdout or "1 error" in done.stdout
    assert "passed" not in done.stdout


def test_collecting_the_quick_tests_loads_nothing_heavy() -> None:
    """Those of this project: `make test` collects the slow ones too, and would not see it."""
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-m", "not slow"]
    done = subprocess.run(
        [*words, "-k", "test_bytecode_is_no_dependency"], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert "1 passed" in done.stdout, done.stdout[-2000:] + done.stderr[-2000:]


def quick_tests(place: Path) -> subprocess.CompletedProcess[str]:
    """What comes of the tests in a folder where slow ones are left out."""
    words = [sys.executable, "-m", "pytest", "-q", "-p", "tests.conftest", "-p", "no:cacheprovider", "-p", "no:xdist"]
    words += ["-o", "addopts=", "-o", "markers=slow", "-m", "not slow", "--rootdir", str(place)]
    return subprocess.run(
        [*words, str(place / "test_planted.py")], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
