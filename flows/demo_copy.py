"""The copy of the project that `make drift-demo` plays in, with ports, registry and records of its own."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from flows import dag

HOME = Path(".anneal/demo")
PORTS = 100  # above those of params.yaml, so that the demo runs beside the real thing
SHIFTED_PORTS = (
    ("deploy", "port"),
    ("gateway", "port"),
    ("servers", "prefect_port"),
    ("servers", "mlflow_port"),
)
COMMITTED = (
    ["init", "-q"],
    ["add", "-A"],
    ["-c", "user.name=demo", "-c", "user.email=demo@example.com", "commit", "-qm", "the demo's copy"],
)
# What differs from params.yaml: an hour of the loop passes in a minute. The champion is that of the project.
CHANGES = {
    "monitor": {"check_every": 10_000, "report_rows": 200},  # the demo asks for its checks itself
    "retrain": {"consider_every": 10_000, "min_labelled_for_drift": 60, "cooldown": 0.1},
    "deploy": {"serve": "adapter"},  # swapped in seconds; merged weights need a server of their own, a minute each
    "release": {"canary_share": 0.5, "canary_requests": 40},
}


def make() -> Path:
    """A fresh copy of the project's files, which finds what this checkout has computed; an earlier demo's servers
    are stopped.
    """
    if HOME.exists():
        _stop_servers()
        shutil.rmtree(HOME)
    for name in _files():
        (HOME / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(name, HOME / name)
    # With what has been harvested, which git does not know.
    shutil.copytree("data/seed", HOME / "data/seed", dirs_exist_ok=True)
    _write_params()
    for words in COMMITTED:
        subprocess.run(["git", *words], cwd=HOME, check=True)
    dag.share_results(HOME)
    return HOME


def environment() -> dict[str, str]:
    """The user's, without what points at servers of theirs."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "PREFECT_", "ANNEAL_"))
    }
    return kept | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"}


def _stop_servers() -> None:
    command = [sys.executable, "-m", "tasks.serve.local", "down"]
    subprocess.run(command, cwd=HOME, env=environment(), check=False, capture_output=True)


def _files() -> list[str]:
    """What git knows or would add."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, capture_output=True, check=True).stdout.decode().split("\0")
    return [name for name in listed if name and Path(name).is_file()]


def _write_params() -> None:
    """params.yaml, otherwise as it was, with CHANGES and other ports."""
    from ruamel.yaml import YAML

    yaml = YAML()
    params = yaml.load(Path("params.yaml").read_text(encoding="utf-8"))
    for section, values in CHANGES.items():
        params[section].update(values)
    for section, port in SHIFTED_PORTS:
        params[section][port] += PORTS
    with (HOME / "params.yaml").open("w", encoding="utf-8") as file:
        yaml.dump(params, file)
