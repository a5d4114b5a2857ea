"""The routing table, written by the reconciler and followed by the gateway. A promotion is a new table, nothing
more.
"""

from dataclasses import asdict, dataclass, field
from pathlib import Path

from tasks.errors import AnnealError
from tasks.files import read_json, write_json

TABLE = Path(".anneal/serving/routes.json")
ALIASES = ("champion", "challenger", "previous")
FOLLOWED = "/internal/routes"  # where a gateway says which table it follows


@dataclass(frozen=True)
class Target:
    """One version of a task, loaded and verified: what to ask vLLM for, where, and the folder with its template."""

    version: str
    artifact: str
    model: str  # its `served_name`
    url: str  # `http://127.0.0.1:8000/v1`
    folder: str  # has format.json (system, user, answer), artifact.json (template_sha256) and reference/


@dataclass(frozen=True)
class Task:
    """The versions of one task by alias, and how its traffic is split."""

    targets: dict[str, Target] = field(default_factory=dict)  # alias: target; an alias that points nowhere is not there
    canary: str = "off"  # off, share or shadow
    share: float = 0.0  # of requests that name only the task; they go to the challenger
    since: float = 0.0  # seconds since the epoch when the canary was opened


@dataclass(frozen=True)
class Table:
    """All tasks. A higher revision is newer."""

    revision: int = 0
    tasks: dict[str, Task] = field(default_factory=dict)


@dataclass(frozen=True)
class Followed:
    """A gateway's state: the revision of its table, the requests that wait for a slot, and those in flight by model."""

    revision: int
    waiting: int = 0
    in_flight: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Choice:
    """Where one request goes: `role` is champion or canary for a request that names the task, pinned for one that
    names a version.
    """

    task: str
    role: str
    target: Target
    shadow: Target | None = None  # gets a copy; its answer is logged and thrown away


def resolve(table: Table, name: str, draw: float) -> Choice | None:
    """The choice for `name` (`triage`, `triage@champion`, `triage@3`), or None if no version has it. `draw`: uniform
    in [0, 1).
    """
    task_name, _, suffix = name.partition("@")
    task = table.tasks.get(task_name)
    if task is None:
        return None
    if suffix:
        at_version = (target for target in task.targets.values() if target.version == suffix)
        pinned = task.targets.get(suffix) or next(at_version, None)
        return Choice(task_name, "pinned", pinned) if pinned else None
    champion, challenger = task.targets.get("champion"), task.targets.get("challenger")
    if champion is None:
        return None
    if challenger is not None and task.canary == "share" and draw < task.share:
        return Choice(task_name, "canary", challenger)
    return Choice(task_name, "champion", champion, challenger if task.canary == "shadow" else None)


def served_name(task: str, version: str) -> str:
    """The name of a version at a server, never given to another: `triage@3`."""
    return f"{task}@{version}"


def names(table: Table) -> list[str]:
    """Every name that can be requested, tasks first."""
    return [*table.tasks, *(f"{name}@{alias}" for name, task in table.tasks.items() for alias in task.targets)]


def read(path: Path = TABLE) -> Table:
    """The table in `path`; an empty one when there is none yet."""
    if not path.exists():
        return Table()
    value = read_json(path)
    try:
        tasks = {
            name: Task(**{**task, "targets": {alias: Target(**target) for alias, target in task["targets"].items()}})
            for name, task in value["tasks"].items()
        }
        return Table(value["revision"], tasks)
    except (TypeError, KeyError, AttributeError):
        raise AnnealError(f"{path} is not a routing table: delete it; the reconciler writes it again.") from None


def write(table: Table, path: Path = TABLE) -> None:
    """Put `table` at `path`, whole."""
    write_json(path, asdict(table))
