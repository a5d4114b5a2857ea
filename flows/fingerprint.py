"""All that decides what a run does beside the DAG: code, settings, the registry, what is served. Read in a second, by
code that imports no library that takes seconds.
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
    """What must be known to read all that decides: a run that came to its end knew it from params.yaml."""

    model: str
    models: tuple[str, ...]  # all rows: the champion of another may want to share a server
    gateway_host: str
    gateway_port: int


def read(asked: RunScope) -> dict[str, str]:
    """Name: digest of its content, for each thing that decides what a run of `asked.model` does.

    Raises Unreadable, OSError or AnnealError where it cannot be told; then there is no short way.
    """
    serving = {f"the server of slot {slot.name}": _server(slot) for slot in slots.look()}
    return {name: _digest(text) for name, text in (_settings() | serving | _of_model(asked)).items()} | dict(_files())


def commit() -> str:
    """The commit that is checked out, with `+` when tracked files differ from it; empty outside a repository."""
    head = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True)
    if head.returncode:
        return ""
    dirty = subprocess.run(
        ["git", "status", "--porcelain", "--untracked-files=no"], capture_output=True, text=True
    ).stdout.strip()
    return head.stdout.strip() + ("+" if dirty else "")


def _settings() -> dict[str, str]:
    """This checkout, and how its programs are run."""
    variables = sorted(entry for entry in os.environ.items() if entry[0].startswith("ANNEAL_"))
    return {
        "the folder of this checkout": str(Path.cwd()),
        "the commit": commit(),
        "the lock file of the stages": dag_lock.digest(),
        "the environment in .venv": json.dumps([sys.version, *_names(Path(sys.prefix), ".anneal-*")]),
        "a variable of the environment": json.dumps(variables),
        "the address of the registry": tracking.tracking_uri(),
    }


def _of_model(asked: RunScope) -> dict[str, str]:
    """What the registry, the routing table, the gateway and the report say."""
    table = {name: asdict(task) for name, task in routes.read().tasks.items()}
    kept = [name for name in _names(state.FOLDER, "*") if (state.FOLDER / name).is_dir()]
    presence = gateway.presence(Gateway(host=asked.gateway_host, port=asked.gateway_port))
    registered = registry_reading.read(asked.models)
    return {f"the registry ({what})": text for what, text in registered.items()} | {
        "who answers": json.dumps(table, sort_keys=True),
        "what is kept to be served": json.dumps(kept),
        "the gateway": presence.name,
        "the summary": json.dumps(summary.lasting(summary.read(asked.model)), sort_keys=True),
        "the page": paths.page(asked.model).read_text(encoding="utf-8"),
    }


def _server(slot: slots.Slot) -> str:
    """What a server should serve, whether it answers, and what it serves."""
    return json.dumps([asdict(slot.state), slot.healthy, sorted(slot.names)], sort_keys=True)


def _files() -> Iterator[tuple[str, str]]:
    """Each file of code and settings, and the parity checks of what is deployed."""
    yield "params.yaml", _digest(Path("params.yaml").read_bytes())
    for file in (file for root in map(Path, CODE) for file in _below(root)):
        yield str(file), _digest(file.read_bytes())
    for file in sorted(state.FOLDER.glob("parity-*.json")):
        yield str(file), _digest(file.read_bytes())


def _below(root: Path) -> Iterable[Path]:
    """The files in `root`, or `root` where it is one; not what Python has compiled."""
    files = root.rglob("*") if root.is_dir() else [root]
    return sorted(file for file in files if "__pycache__" not in file.parts and file.is_file())


def _names(folder: Path, pattern: str) -> list[str]:
    return sorted(path.name for path in folder.glob(pattern))


def _digest(content: str | bytes) -> str:
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()
