"""The desired state of each vLLM slot: small files that a restarted server reads, so that kill -9 changes nothing."""

import os
import shutil
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TypedDict

from tasks.errors import AnnealError
from tasks.files import read_json, write_json
from tasks.serve.params import Deploy
from tasks.versions.registry import Version

FOLDER = Path(".anneal/serving")
# two servers of different kinds (vLLM, transformers), or of two bases, and a successor beside them
SLOTS = ("a", "b", "c")
OLD = FOLDER / "current.json"  # of an earlier version of Anneal, with a single server


class Options(TypedDict):
    """The settings of `deploy` that need another process when they change."""

    max_model_len: int
    max_lora_rank: int
    kv_cache_gib: int


@dataclass(frozen=True)
class Served:
    """A model behind a name: a version of the registry and the folder with its adapter or weights."""

    version: str
    artifact: str
    path: str


@dataclass(frozen=True)
class State:
    """One server: weights, how they are served, and the versions on them by their names there (`triage@3`)."""

    weights: str
    host: str
    port: int
    options: Options = field(default_factory=lambda: options(Deploy()))
    adapters: dict[str, Served] = field(default_factory=dict)
    merged: dict[str, Served] = field(default_factory=dict)
    engine: str = "vllm"  # or transformers, for adapters that vLLM does not load; or pooling, for a classifier
    # a version passed its parity check here; until then nothing is routed here and a crash is not followed by a restart
    verified: bool = False
    # seconds since the epoch when the server was asked for; of two that can serve a version, the newer one does
    since: float = 0.0

    def same_server(self, other: "State") -> bool:
        """True when `other` needs no new process on the same slot: the same weights and options, whatever the
        adapters.
        """
        return (self.engine, self.weights, self.host, self.options, self.merged) == (
            other.engine,
            other.weights,
            other.host,
            other.options,
            other.merged,
        )

    @property
    def form(self) -> str:
        """How its versions are served: adapter, merged, pooling or transformers (tasks/serve/forms.py)."""
        return self.engine if self.engine != "vllm" else "merged" if self.merged else "adapter"

    def served(self, name: str) -> Served | None:
        """What is served under `name`."""
        return self.adapters.get(name) or self.merged.get(name)

    @property
    def url(self) -> str:
        """The OpenAI-compatible address."""
        return f"http://{self.host}:{self.port}/v1"


def program(slot: str) -> str:
    """The supervisor's name for the server of `slot`."""
    return f"vllm-{slot}"


def port(slot: str, params: Deploy) -> int:
    """The port of `slot`: deploy.port, and the next ones up."""
    return params.port + SLOTS.index(slot)


def path(slot: str) -> Path:
    """The state file of `slot`."""
    return FOLDER / f"{slot}.json"


def options(params: Deploy) -> Options:
    """The options of a server as `params` asks for it."""
    return Options(
        max_model_len=params.max_model_len, max_lora_rank=params.max_lora_rank, kv_cache_gib=params.kv_cache_gib
    )


def served(version: Version, folder: Path | None = None) -> Served:
    """`version` served from `folder`, or from where its adapter is kept."""
    return Served(version.version, version.artifact, str(folder or adapter_folder(version.name, version.artifact)))


def server(form: str, version: Version, folder: Path, base: Path, params: Deploy, slot: str = SLOTS[0]) -> State:
    """The server on `slot` that serves `version` in `form` (tasks/serve/forms.py): whole weights from `folder`, or the
    adapter in `folder` on `base`.
    """
    is_whole, entry = form in ("merged", "pooling"), {version.served_name: served(version, folder)}
    return State(
        weights=str(folder if is_whole else base),
        host=params.host,
        port=port(slot, params),
        options=options(params),
        adapters={} if is_whole else entry,
        merged=entry if is_whole else {},
        engine=form if form in ("pooling", "transformers") else "vllm",
    )


def read(slot: str) -> State | None:
    """The state of `slot`, or None when it is free."""
    return read_file(path(slot))


def read_file(file: Path) -> State | None:
    """The state in `file`, or None when there is none."""
    if not file.exists():
        return None
    value = read_json(file)
    try:
        for kind in ("adapters", "merged"):
            value[kind] = {name: Served(**entry) for name, entry in value[kind].items()}
        return State(**value)
    except (TypeError, KeyError, AttributeError):
        raise AnnealError(f"{file} does not say what to serve: delete it and run `make pipeline` again.") from None


def read_all() -> dict[str, State]:
    """The state of each slot that is not free."""
    return {slot: state for slot in SLOTS if (state := read(slot))}


def write(slot: str, state: State) -> None:
    """Put `state` in the file of `slot`, whole."""
    write_json(path(slot), asdict(state))


def free(slot: str) -> None:
    """Forget what `slot` should serve."""
    path(slot).unlink(missing_ok=True)


def now() -> float:
    """Seconds since the epoch."""
    return time.time()


def keep(source: Path, copy: Path) -> Path:
    """Copy the folder `source` to `copy` unless it exists, and return `copy`: it stays whatever DVC does to the
    workspace. Hard links where possible.
    """
    if not copy.exists():
        temporary = copy.with_name(f".{copy.name}.{os.getpid()}")
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.copytree(source, temporary, copy_function=_link_or_copy)
        os.replace(temporary, copy)
    return copy


def base_folder(base_sha256: str) -> Path:
    """Where the weights with this hash are kept."""
    return FOLDER / f"base-{base_sha256[:12]}"


def adapter_folder(task: str, artifact: str) -> Path:
    """Where the adapter with this hash is kept."""
    return FOLDER / f"{task}-{artifact[:12]}"


def merged_folder(adapter: Path) -> Path:
    """Where the whole weights of the version kept in `adapter` are: there, when all weights were trained."""
    return adapter if (adapter / "config.json").exists() else adapter.with_name(f"{adapter.name}-merged")


def pooled_folder(adapter: Path) -> Path:
    """Where the version kept in `adapter` is as vLLM's pooling takes it (tasks/models/pooled.py)."""
    return adapter.with_name(f"{adapter.name}-pooled")


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
