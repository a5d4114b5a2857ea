"""Digests of all that decides what a run does besides the DAG: code, settings, the registry, what is served. Read in a
second, without slow imports.
"""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from flows import dag_lock
from tasks import paths
from tasks.serve import routes, slots, state
from tasks.serve.params import Gateway
from tasks.serve.reconcile import gateway
from tasks.steps.report import summary
from tasks.versions import registry_reading, tracking

CODE = ("flows", "tasks", "infra/local", "infra/requirements", "model_cards/template.md.jinja")


@dataclass(frozen=True)
class RunScope:
    """What `read` needs of params.yaml; a finished run keeps it for the next one."""

    model: str
    models: tuple[str, ...]  # all rows: the champion of another may want to share a server
    gateway_host: str
    gateway_port: int


def read(scope: RunScope) -> dict[str, str]:
    """Return {name: digest} of each thing that decides what a run of `scope.model` does.

    Raises Unreadable, OSError or AnnealError if something cannot be read; then a whole run is needed.
    """
    serving = {f"the server of slot {slot.name}": _server(slot) for slot in slots.look()}
    return {name: _digest(text) for name, text in (_settings() | serving | _of_model(scope)).items()} | dict(_files())


def commit() -> str:
    """Return the commit that is checked out, with `+` if tracked files differ from it; empty outside a repository."""
    head = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True)
    if head.returncode:
        return ""
    dirty = subprocess.run(
        ["git", "status", "--porcelain", "--untracked-files=no"], capture_output=True, text=True
    ).stdout.strip()
    return head.stdout.strip() + ("+" if dirty else "")


def _settings() -> dict[str, str]:
    """Return this checkout's settings and environment."""
    variables = sorted(entry for entry in os.environ.items() if entry[0].startswith("ANNEAL_"))
    return {
        "the folder of this checkout": str(Path.cwd()),
        "the commit": commit(),
        "the lock file of the stages": dag_lock.digest(),
        "the environment in .venv": json.dumps([sys.version, *_names(Path(sys.prefix), ".anneal-*")]),
        "a variable of the environment": json.dumps(variables),
        "the address of the registry": tracking.tracking_uri(),
    }


def _of_model(scope: RunScope) -> dict[str, str]:
    """Return the state of the registry, the routing table, the gateway and the report."""
    table = {name: asdict(task) for name, task in routes.read().tasks.items()}
    served_copies = [name for name in _names(state.FOLDER, "*") if (state.FOLDER / name).is_dir()]
    presence = gateway.presence(Gateway(host=scope.gateway_host, port=scope.gateway_port))
    registered = registry_reading.read(scope.models)
    return {f"the registry ({name})": text for name, text in registered.items()} | {
        "who answers": json.dumps(table, sort_keys=True),
        "what is kept to be served": json.dumps(served_copies),
        "the gateway": presence.name,
        "the summary": json.dumps(summary.lasting(summary.read(scope.model)), sort_keys=True),
        "the page": paths.page(scope.model).read_text(encoding="utf-8"),
    }


def _server(slot: slots.Slot) -> str:
    """Return what a server should serve, whether it answers, and what it serves."""
    return json.dumps([asdict(slot.state), slot.healthy, sorted(slot.names)], sort_keys=True)


def _files() -> Iterator[tuple[str, str]]:
    """Yield (name, digest) of each file of code and settings, and of the parity checks of deployed versions."""
    yield "params.yaml", _digest(Path("params.yaml").read_bytes())
    for file in (file for root in map(Path, CODE) for file in _below(root)):
        yield str(file), _digest(file.read_bytes())
    for file in sorted(state.FOLDER.glob("parity-*.json")):
        yield str(file), _digest(file.read_bytes())


def _below(root: Path) -> Iterable[Path]:
    """Return the files in `root`, or `root` if it is a file; without compiled Python."""
    files = root.rglob("*") if root.is_dir() else [root]
    return sorted(file for file in files if "__pycache__" not in file.parts and file.is_file())


def _names(folder: Path, pattern: str) -> list[str]:
    return sorted(path.name for path in folder.glob(pattern))


def _digest(content: str | bytes) -> str:
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()
