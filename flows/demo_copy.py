"""The copy of the project for `make drift-demo`, with its own ports, registry and records."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from flows import dag, demo_preferences
from tasks import params as settings

HOME = Path(".anneal/demo")
PORTS = 100  # above those of params.yaml, so that the demo runs beside the real thing
SHIFTED_PORTS = (
    ("deploy", "port"),
    ("gateway", "port"),
    ("servers", "prefect_port"),
    ("servers", "mlflow_port"),
)
GIT_COMMANDS = (
    ["init", "-q"],
    ["add", "-A"],
    ["-c", "user.name=demo", "-c", "user.email=demo@example.com", "commit", "-qm", "the demo's copy"],
)
# What differs from params.yaml: an hour of the loop passes in a minute. The champion is that of the project.
CHANGES = {
    "monitor": {"check_every": 10_000, "report_rows": 200},  # the demo starts its checks itself
    "retrain": {"consider_every": 10_000, "min_labelled_for_drift": 60, "cooldown": 0.1},
    "deploy": {"serve": "adapter"},  # swapped in seconds; merged weights need a server of their own, a minute each
    "release": {"canary_share": 0.5, "canary_requests": 40},
}


def make(task: str, prefers: bool = False) -> Path:
    """Make a fresh copy of the project's files that shares this checkout's results; stop an earlier demo's servers. If
    it `prefers`, pairs are learnt as well (flows/demo_preferences.py).
    """
    if HOME.exists():
        _stop_servers()
        shutil.rmtree(HOME)
    for name in _files():
        (HOME / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(name, HOME / name)
    # Harvested rows are not in git.
    shutil.copytree("data/seed", HOME / "data/seed", dirs_exist_ok=True)
    _write_params(task, prefers)
    for words in GIT_COMMANDS:
        subprocess.run(["git", *words], cwd=HOME, check=True)
    dag.share_results(HOME)
    return HOME


def environment() -> dict[str, str]:
    """Return the user's environment without variables that point at their servers."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "PREFECT_", "ANNEAL_"))
    }
    return kept | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"}


def _stop_servers() -> None:
    command = [sys.executable, "-m", "tasks.serve.local", "down"]
    subprocess.run(command, cwd=HOME, env=environment(), check=False, capture_output=True)


def _files() -> list[str]:
    """Return the files that git tracks or would add."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, capture_output=True, check=True).stdout.decode().split("\0")
    return [name for name in listed if name and Path(name).is_file()]


def _write_params(task: str, prefers: bool) -> None:
    """Write params.yaml with CHANGES and other ports."""
    from ruamel.yaml import YAML

    yaml = YAML()
    params = yaml.load(Path("params.yaml").read_text(encoding="utf-8"))
    for section, values in CHANGES.items():
        params[section].update(values)
    for section, port in SHIFTED_PORTS:
        params[section][port] += PORTS
    if prefers:
        demo_preferences.add(params, task, settings.load().main_dataset(task))
    with (HOME / "params.yaml").open("w", encoding="utf-8") as file:
        yaml.dump(params, file)
