"""Imports are light and do nothing: `--help`, a check of params and a flow start fast, and no import makes a folder
or opens a socket.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.house.project import ROOT, modules

pytestmark = pytest.mark.slow  # each test starts a Python

LIGHT = [
    "tasks.params",
    "tasks.preflight.__main__",
    "tasks.stage",
    "flows.pipeline",
    "tasks.steps.release",
    "tasks.serve.local",
    "tasks.serve.gateway.app",
]
HEAVY = ["torch", "transformers", "peft", "trl", "great_expectations", "vllm", "mlflow", "prefect", "dvc", "pandas"]

PROBE = """
import importlib, json, os, socket, sys

def hook(event, arguments):
    if event.startswith("socket."):
        sockets.append(event)

sockets, failed = [], []
before = dict(os.environ)
sys.addaudithook(hook)
for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
    except Exception as error:
        failed.append(f"{name}: {error!r}")
left = sorted(os.path.join(folder, name) for folder, folders, files in os.walk(".") for name in folders + files)
variables = sorted(name for name in os.environ.keys() | before if os.environ.get(name) != before.get(name))
loaded = sorted(sys.modules)
print(json.dumps({"sockets": sockets, "failed": failed, "left": left, "variables": variables, "loaded": loaded}))
"""


def probe(root: Path, names: Iterable[str], folder: Path) -> dict:
    """What a fresh Python in `folder` did when it imported the modules `names` of the project at `root`."""
    folder.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(root)}
    done = subprocess.run(
        [sys.executable, "-c", PROBE, *names], cwd=folder, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("name", LIGHT)
def test_a_start_loads_nothing_heavy(name: str, tmp_path: Path) -> None:
    found = probe(ROOT, [name], tmp_path / "cwd")
    assert found["failed"] == []
    assert sorted(set(HEAVY) & set(found["loaded"])) == []
    assert found["variables"] == []


def test_importing_every_module_does_nothing(tmp_path: Path) -> None:
    found = probe(ROOT, modules(ROOT, "tasks", "flows"), tmp_path / "cwd")
    assert (found["failed"], found["left"], found["sockets"]) == ([], [], [])


def test_planted_effects_are_caught(tmp_path: Path) -> None:
    (tmp_path / "planted.py").write_text(
        "import os, pandas, pathlib, socket\n"
        "pathlib.Path('reports').mkdir()\n"
        "os.environ['MLFLOW_TRACKING_URI'] = 'here'\n"
        "try:\n    socket.create_connection(('127.0.0.1', 9), timeout=1)\nexcept OSError:\n    here = 1\n"
    )
    (tmp_path / "broken.py").write_text("1 / 0\n")
    found = probe(tmp_path, ["planted", "broken"], tmp_path / "cwd")
    assert "pandas" in found["loaded"]
    assert found["left"] == ["./reports"]
    assert found["variables"] == ["MLFLOW_TRACKING_URI"]
    assert "socket.connect" in found["sockets"]
    assert [failed.split(":")[0] for failed in found["failed"]] == ["broken"]
