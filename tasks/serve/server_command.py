"""The command line and environment of the server for a state."""

import sys
from collections.abc import Mapping
from pathlib import Path

from tasks.formats import tools
from tasks.serve.cascade import start
from tasks.serve.state import State


def command(state: State) -> list[str]:
    """The command line of the server for `state` (the `vllm` script of the CPU wheel looks for a package of another
    name).
    """
    common = {
        "--model": state.weights,
        "--host": state.host,
        "--port": state.port,
        "--max-model-len": state.options["max_model_len"],
    }
    if state.engine == "transformers":
        adapters = [word for entry in _adapters(state) for word in ("--adapter", entry)]
        return [sys.executable, "-m", "tasks.serve.transformers", *_options(common), *adapters]
    if state.engine == "pooling":
        return [sys.executable, "-m", "tasks.serve.pooling", *_options(common), "--name", *state.merged]
    from tasks.device import compute_dtype, device

    arguments = {
        **common,
        "--dtype": str(compute_dtype()).removeprefix("torch."),
        "--generation-config": "vllm",
    }
    words = [
        sys.executable,
        "-m",
        "vllm.entrypoints.openai.api_server",
        *_options(arguments),
        *_names(state),
        *_calls(state),
        *start.options(*_folders(state)),
    ]
    # vLLM's 128 on a CPU is longer than what a task's prompts have in common, so that nothing of them would be kept; 32
    # is the least its kernels like.
    return [*words, "--enforce-eager", "--block-size", "32"] if device() == "cpu" else words


def _calls(state: State) -> list[str]:
    """The options that parse tool calls, if the template can write them."""
    template = Path(state.weights) / "chat_template.jinja"
    name = tools.parser(template.read_text(encoding="utf-8")) if template.is_file() else None
    return ["--enable-auto-tool-choice", "--tool-call-parser", name] if name else []


def _options(arguments: Mapping[str, object]) -> list[str]:
    return [word for name, value in arguments.items() for word in (name, str(value))]


def _names(state: State) -> list[str]:
    """The options that name the served versions."""
    if state.merged:
        return ["--served-model-name", *state.merged]
    slots = {"--max-lora-rank": state.options["max_lora_rank"], "--max-loras": 4, "--max-cpu-loras": 16}
    modules = _adapters(state)
    words = ["--served-model-name", "base", "--enable-lora", *_options(slots)]
    return [*words, "--lora-modules", *modules] if modules else words


def _adapters(state: State) -> list[str]:
    """`name=folder` of each adapter whose folder exists: a missing one must not keep the others from being served."""
    return [f"{name}={served.path}" for name, served in state.adapters.items() if Path(served.path).exists()]


def environment(state: State) -> dict[str, str]:
    """The environment variables of vLLM for `state`; adapters are swapped at run time, so it listens where `host`
    says and no wider.
    """
    space = str(state.options["kv_cache_gib"])
    runtime = {"VLLM_CPU_KVCACHE_SPACE": space, "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "1"}
    return {**runtime, **start.environment(*_folders(state))}


def _folders(state: State) -> tuple[dict[str, str], bool]:
    """(folders by name of the versions served from the start, whether these are whole weights)."""
    return {name: entry.path for name, entry in (state.merged or state.adapters).items()}, bool(state.merged)
