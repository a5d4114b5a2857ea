"""The desired state: the versions that the registry's aliases point to, with their tags."""

from dataclasses import dataclass, field
from pathlib import Path

from tasks import moves, registry, tracking
from tasks.serve import state
from tasks.serve.routes import ALIASES


@dataclass(frozen=True)
class Wanted:
    """A version that an alias points to."""

    task: str
    version: str
    artifact: str
    base: str  # sha256 of the weights it was trained on
    verified: bool = False  # it has passed its parity check
    refused: bool = False  # a canary or a person took it back: it stays addressable, but no server runs for it alone
    canary: str = ""  # share or shadow while its canary is open
    share: float = 0.0
    since: float = 0.0
    form: str = ""  # adapter, merged or transformers: in which it passed its check; empty for older versions

    @property
    def model(self) -> str:
        """Its name in vLLM, never given to another version."""
        return f"{self.task}@{self.version}"

    @property
    def folder(self) -> str:
        """The kept copy of its adapter."""
        return str(state.FOLDER / state.adapter_folder(self.task, self.artifact))


@dataclass(frozen=True)
class Desired:
    """One task: its versions by alias, and versions whose canary is open though they are no challenger any more."""

    aliases: dict[str, Wanted] = field(default_factory=dict)
    superseded: tuple[Wanted, ...] = ()
    is_unfinished: bool = False  # a move of its aliases is under way, or was cut short


def wanted(version: registry.Version) -> Wanted:
    """The version with what its tags say."""
    tags = version.tags
    is_open = tags.get("canary") == "open"
    return Wanted(
        version.name,
        version.version,
        version.artifact,
        tags.get("base_sha256", ""),
        "parity" in tags,
        "rolled_back" in tags or tags.get("canary") in ("undecided", "rolled_back", "superseded"),
        tags.get("canary_mode", "share") if is_open else "",
        float(tags.get("canary_share", 0)) if is_open else 0.0,
        float(tags.get("canary_since", 0)) if is_open else 0.0,
        tags.get("served_as", ""),
    )


def read(tasks: list[str]) -> dict[str, Desired]:
    """The registered ones of `tasks`; raises what `tracking.client` and MLflow raise when the store is away."""
    found = {}
    for task in tasks:
        entry = registry.look(task)
        if entry is not None:
            model, versions = entry
            by_number = {version.version: wanted(version) for version in versions}
            at = {which: by_number[model.aliases[which]] for which in ALIASES if model.aliases.get(which) in by_number}
            stale = tuple(
                one
                for one in by_number.values()
                if one.canary and one not in (at.get("challenger"), at.get("champion"))
            )
            found[task] = Desired(at, stale, bool(moves.unfinished(model)))
    return found


class Reader:
    """Reads the registry again only when it may have changed: a local store says so by its files' times."""

    def __init__(self) -> None:
        self._mark: object = None
        self._found: dict[str, Desired] = {}

    def read(self, tasks: list[str]) -> dict[str, Desired]:
        """As `read`, from memory when nothing has been written to a local store since."""
        mark = (tuple(tasks), _mark(tracking.tracking_uri()))
        if mark[1] is None or mark != self._mark:
            self._found = read(tasks)
            self._mark = mark
        return self._found


def _mark(uri: str) -> tuple | None:
    """Times and sizes of the files of a SQLite store; None for any other store, which has to be asked."""
    if not uri.startswith("sqlite:///"):
        return None
    place = Path(uri.removeprefix("sqlite:///"))
    files = [
        file
        for file in (place, place.with_name(f"{place.name}-wal"), place.with_name(f"{place.name}-journal"))
        if file.exists()
    ]
    return tuple((file.name, file.stat().st_mtime_ns, file.stat().st_size) for file in files)
