"""What vLLM should be serving: a small file that a restarted server reads, so that kill -9 changes nothing."""

import os
import shutil
import sys
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from tasks.errors import AnnealError
from tasks.files import read_json, write_json
from tasks.serve.params import Deploy

FOLDER = Path(".anneal/serving")
CURRENT = FOLDER / "current.json"
CANDIDATE = FOLDER / "candidate.json"


@dataclass(frozen=True)
class Served:
    """A model behind a name: a version of the registry and the folder with its adapter or weights."""

    version: str
    artifact: str
    path: str


@dataclass(frozen=True)
class State:
    """One vLLM server: weights, how they are served, and the adapters on them by name."""

    weights: str
    host: str
    port: int
    options: dict = field(default_factory=dict)
    adapters: dict[str, Served] = field(default_factory=dict)
    merged: dict[str, Served] = field(default_factory=dict)

    def same_server(self, other: "State") -> bool:
        """True when `other` needs no new process: the same weights and options, whatever the adapters."""
        return replace(self, adapters={}) == replace(other, adapters={})

    def served(self, name: str) -> Served | None:
        """What is served under `name`."""
        return self.adapters.get(name) or self.merged.get(name)

    @property
    def url(self) -> str:
        """The OpenAI-compatible address."""
        return f"http://{self.host}:{self.port}/v1"


def options(params: Deploy) -> dict:
    """The settings that need another process when they change."""
    return params.model_dump(include={"max_model_len", "max_lora_rank", "kv_cache_gib"})


def read(path: Path = CURRENT) -> State | None:
    """The state in `path`, or None when nothing has been deployed yet."""
    if not path.exists():
        return None
    value = read_json(path)
    try:
        for kind in ("adapters", "merged"):
            value[kind] = {name: Served(**entry) for name, entry in value[kind].items()}
        return State(**value)
    except (TypeError, KeyError, AttributeError):
        raise AnnealError(f"{path} does not say what to serve: delete it and run `make pipeline` again.") from None


def write(state: State, path: Path = CURRENT) -> None:
    """Put `state` at `path`, whole."""
    write_json(path, asdict(state))


def keep(source: Path, name: str) -> Path:
    """A copy of the folder `source` that lives as long as it is served, whatever DVC does to the workspace; hard links where possible."""
    kept = FOLDER / name
    if not kept.exists():
        making = kept.with_name(f".{name}.{os.getpid()}")
        shutil.rmtree(making, ignore_errors=True)
        shutil.copytree(source, making, copy_function=_link_or_copy)
        os.replace(making, kept)
    return kept


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def command(state: State) -> list[str]:
    """The command line of vLLM for `state` (the `vllm` script of the CPU wheel looks for a package of another name)."""
    from tasks.device import compute_dtype, device

    words = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", state.weights, "--host", state.host, "--port", str(state.port)]
    words += ["--dtype", str(compute_dtype()).removeprefix("torch."), "--max-model-len", str(state.options["max_model_len"]), "--generation-config", "vllm"]
    if state.merged:
        words += ["--served-model-name", *state.merged]
    else:
        words += ["--served-model-name", "base", "--enable-lora", "--max-lora-rank", str(state.options["max_lora_rank"]), "--max-loras", "4"]
        if state.adapters:
            words += ["--lora-modules", *(f"{name}={served.path}" for name, served in state.adapters.items())]
    return [*words, "--enforce-eager"] if device() == "cpu" else words


def environment(state: State) -> dict[str, str]:
    """The environment variables of vLLM for `state`; adapters are swapped at run time, so it listens where `host` says and no wider."""
    return {"VLLM_CPU_KVCACHE_SPACE": str(state.options["kv_cache_gib"]), "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "1"}
