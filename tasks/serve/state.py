"""The desired state of each vLLM slot: small files that a restarted server reads, so that kill -9 changes nothing."""

import os
import shutil
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tasks import tools
from tasks.errors import AnnealError
from tasks.files import read_json, write_json
from tasks.serve.cascade import start
from tasks.serve.params import Deploy

FOLDER = Path(".anneal/serving")
# two servers of different kinds (vLLM, transformers), or of two bases, and a successor beside them
SLOTS = ("a", "b", "c")
OLD = FOLDER / "current.json"  # of the time when there was one server and it was changed in place


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
    options: dict = field(default_factory=dict)
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


def options(params: Deploy) -> dict:
    """The settings that need another process when they change."""
    return params.model_dump(include={"max_model_len", "max_lora_rank", "kv_cache_gib"})


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


def keep(source: Path, name: str) -> Path:
    """A copy of the folder `source` that lives as long as it is served, whatever DVC does to the workspace; hard
    links where possible.
    """
    kept = FOLDER / name
    if not kept.exists():
        making = kept.with_name(f".{kept.name}.{os.getpid()}")
        shutil.rmtree(making, ignore_errors=True)
        shutil.copytree(source, making, copy_function=_link_or_copy)
        os.replace(making, kept)
    return kept


def base_folder(base_sha256: str) -> str:
    """The name under which the weights with this hash are kept."""
    return f"base-{base_sha256[:12]}"


def adapter_folder(task: str, artifact: str) -> str:
    """The name under which the adapter with this hash is kept."""
    return f"{task}-{artifact[:12]}"


def merged_folder(adapter: Path) -> Path:
    """Where the whole weights of the version kept in `adapter` are: there, when all weights were trained."""
    return adapter if (adapter / "config.json").exists() else adapter.with_name(f"{adapter.name}-merged")


def pooled_folder(adapter: Path) -> Path:
    """Where the version kept in `adapter` is as vLLM's pooling takes it (tasks/pooled.py)."""
    return adapter.with_name(f"{adapter.name}-pooled")


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def command(state: State) -> list[str]:
    """The command line of the server for `state` (the `vllm` script of the CPU wheel looks for a package of another
    name).
    """
    where = {"--model": state.weights, "--host": state.host, "--port": state.port}
    where["--max-model-len"] = state.options["max_model_len"]
    if state.engine == "transformers":
        adapters = [word for entry in _adapters(state) for word in ("--adapter", entry)]
        return [sys.executable, "-m", "tasks.serve.transformers", *_words(where), *adapters]
    if state.engine == "pooling":
        return [sys.executable, "-m", "tasks.serve.pooling", *_words(where), "--name", *state.merged]
    from tasks.device import compute_dtype, device

    arguments = {
        **where,
        "--dtype": str(compute_dtype()).removeprefix("torch."),
        "--generation-config": "vllm",
    }
    words = [
        sys.executable,
        "-m",
        "vllm.entrypoints.openai.api_server",
        *_words(arguments),
        *_names(state),
        *_calls(state),
        *start.words(*_folders(state)),
    ]
    # vLLM's 128 on a CPU is longer than what a task's prompts have in common, so that nothing of them would be kept; 32
    # is the least its kernels like.
    return [*words, "--enforce-eager", "--block-size", "32"] if device() == "cpu" else words


def _calls(state: State) -> list[str]:
    """The part of the command line that makes tool calls, where the template writes them, be read back."""
    template = Path(state.weights) / "chat_template.jinja"
    name = tools.parser(template.read_text(encoding="utf-8")) if template.is_file() else None
    return ["--enable-auto-tool-choice", "--tool-call-parser", name] if name else []


def _words(arguments: dict[str, object]) -> list[str]:
    return [word for name, value in arguments.items() for word in (name, str(value))]


def _names(state: State) -> list[str]:
    """The part of the command line that says which versions are served under which names."""
    if state.merged:
        return ["--served-model-name", *state.merged]
    slots = {"--max-lora-rank": state.options["max_lora_rank"], "--max-loras": 4, "--max-cpu-loras": 16}
    modules = _adapters(state)
    words = ["--served-model-name", "base", "--enable-lora", *_words(slots)]
    return [*words, "--lora-modules", *modules] if modules else words


def _adapters(state: State) -> list[str]:
    """`name=folder` of each; one whose folder is gone must not keep the others away."""
    return [f"{name}={served.path}" for name, served in state.adapters.items() if Path(served.path).exists()]


def environment(state: State) -> dict[str, str]:
    """The environment variables of vLLM for `state`; adapters are swapped at run time, so it listens where `host`
    says and no wider.
    """
    space = str(state.options["kv_cache_gib"])
    runtime = {"VLLM_CPU_KVCACHE_SPACE": space, "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "1"}
    return {**runtime, **start.environment(*_folders(state))}


def _folders(state: State) -> tuple[dict[str, str], bool]:
    """(folder by name of what is served from the start, whether these are whole weights)."""
    return {name: entry.path for name, entry in (state.merged or state.adapters).items()}, bool(state.merged)
