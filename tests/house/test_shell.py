"""No shell script takes a command that was cut off for one that failed: under `pipefail`, `ldconfig -p | grep -q NAME`
fails now and then although NAME is there, since grep ends at the first match and SIGPIPE kills what still writes.
"""

import re
import subprocess
from pathlib import Path

import pytest

from tests.house.project import ROOT

CUTS_OFF = re.compile(r"\|\s*(?:[ef]?grep\s+(?:-\w*q|--quiet|-m)|head\b|sed\s+(?:-n\s+)?['\"]?\d*q)")


def scripts() -> list[Path]:
    """The shell scripts of the project."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    names = listed.stdout.splitlines()
    files = [ROOT / name for name in names if (ROOT / name).is_file()]
    return [file for file in files if re.match(rb"#!.*\b(ba)?sh\b", file.open("rb").readline())]


def cut_off(script: str) -> list[str]:
    """The lines of a script that end a pipe before all is read, if that would count as a failure."""
    return [line.strip() for line in script.splitlines() if CUTS_OFF.search(line)] if "pipefail" in script else []


@pytest.mark.slow
def test_no_pipe_is_cut_off() -> None:
    lines = {file.name: cut_off(file.read_text(encoding="utf-8")) for file in scripts()}
    assert len(lines) >= 4 and not any(lines.values()), lines


@pytest.mark.parametrize("line", ["ldconfig -p | grep -q numa || exit 1", "a | head -1", "a |grep -iq b", "a | sed 1q"])
def test_a_planted_pipe_is_caught(line: str) -> None:
    assert cut_off(f"set -euo pipefail\n{line}\n") == [line] and not cut_off(f"set -eu\n{line}\n")


@pytest.mark.parametrize("line", ["ldconfig -p | grep numa >/dev/null", "grep -q word file", "a | sort"])
def test_what_reads_all_is_let_through(line: str) -> None:
    assert not cut_off(f"set -o pipefail\n{line}\n")
