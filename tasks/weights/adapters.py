"""Shared by the low-rank tuners: their settings, how peft builds the adapter, and how it is saved as plain LoRA.

An adapter that starts from the parent's own weights (PiSSA, OLoRA, LoftQ) is kept as the difference from its start,
s (B A - B₀ A₀) = s [B, -B₀] [A; A₀]: plain LoRA of twice the rank, which fits the unchanged parent.
"""

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from tasks.section import Section

if TYPE_CHECKING:
    from torch import Tensor, nn

Rank = Annotated[int, Field(ge=1, le=512, description="rank of the adapter")]
Alpha = Annotated[int, Field(ge=1, le=4096, description="the update is scaled by lora_alpha / r")]
FROM_PARENT = re.compile(
    r"pissa|pissa_niter_\d+|olora|loftq"
)  # values of init_lora_weights that use the parent's weights


class LowRank(Section):
    """LoRA's settings; names are peft's."""

    r: Rank = 16
    lora_alpha: Alpha = 32
    lora_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    target_modules: Literal["all-linear"] | Annotated[list[str], Field(min_length=1)] = "all-linear"
    use_rslora: bool = Field(default=False, description="scale the update by lora_alpha / sqrt(r) (rsLoRA)")
    use_dora: bool = Field(
        default=False, description="learn the magnitude of each weight vector as well as its direction (DoRA)"
    )
    init_lora_weights: bool | str = True
    rank_pattern: dict[str, Rank] = Field(default={}, description="a different r for the named layers")
    alpha_pattern: dict[str, Alpha] = Field(default={}, description="a different lora_alpha for the named layers")

    @property
    def saved_rank(self) -> int:
        """The highest rank in the saved adapter, which a server must allow."""
        highest = max(self.r, *self.rank_pattern.values(), 1)
        return highest * (2 if starts_from_parent(self) else 1)


def starts_from_parent(params: LowRank) -> bool:
    """Whether the adapter is initialised from the parent's weights."""
    return bool(FROM_PARENT.fullmatch(str(params.init_lora_weights)))


def attach(params: LowRank, model: "nn.Module") -> "nn.Module":
    """`model`, frozen, under adapters in fp32."""
    from peft import LoraConfig, get_peft_model

    from tasks.weights.lora import speed_up, start_from_parent
    from tasks.weights.targets import task_type

    init = params.init_lora_weights
    config = LoraConfig(
        r=params.r,
        lora_alpha=params.lora_alpha,
        lora_dropout=params.lora_dropout,
        target_modules=params.target_modules,
        use_rslora=params.use_rslora,
        use_dora=params.use_dora,
        init_lora_weights=True if starts_from_parent(params) else init,
        rank_pattern=dict(params.rank_pattern),
        alpha_pattern=dict(params.alpha_pattern),
        task_type=task_type(model),
    )
    adapted: nn.Module = get_peft_model(model, config, autocast_adapter_dtype=True)
    start_from_parent(adapted, init)
    speed_up(adapted)
    return adapted


def load(model: "nn.Module", folder: Path) -> "nn.Module":
    """The parent under the adapter in `folder`."""
    from peft import PeftModel

    from tasks.weights.lora import speed_up

    adapted: nn.Module = PeftModel.from_pretrained(model, folder, autocast_adapter_dtype=False)
    speed_up(adapted)
    return adapted


def save(model: "nn.Module", parent: Path, folder: Path) -> None:
    """The adapter as safetensors and a config with sorted keys and lists; as plain LoRA, however it was initialised."""
    from tasks.weights.lora import starts

    model.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)  # peft's empty card; package writes the real one
    file = folder / "adapter_config.json"
    config = json.loads(file.read_text())
    if start := starts(model):
        _subtract(start, folder / "adapter_model.safetensors")
        config = _of_twice_the_rank(config)
    for key in ("target_modules", "feedforward_modules"):
        if isinstance(config.get(key), list):
            config[key] = sorted(config[key])
    config["base_model_name_or_path"] = parent.as_posix()
    file.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def _subtract(start: "dict[str, Tensor]", file: Path) -> None:
    """Replace s B A with s [B, -B₀] [A; A₀]."""
    import torch
    from safetensors.torch import load_file, save_file

    weights = load_file(file)
    for name, value in start.items():
        axis = 0 if ".lora_A." in name else 1
        initial = value.cpu() if axis == 0 else -value.cpu()
        weights[name] = torch.cat([weights[name], initial.to(weights[name].dtype)], axis)
    save_file(weights, file, metadata={"format": "pt"})


def _of_twice_the_rank(config: dict[str, Any]) -> dict[str, Any]:
    """The config with the same scale at twice the rank."""
    factor = math.sqrt(2) if config["use_rslora"] else 2
    return {
        **config,
        "r": config["r"] * 2,
        "lora_alpha": config["lora_alpha"] * factor,
        "rank_pattern": {name: rank * 2 for name, rank in config["rank_pattern"].items()},
        "alpha_pattern": {name: alpha * factor for name, alpha in config["alpha_pattern"].items()},
    }


def merge(model: "nn.Module") -> "nn.Module":
    """The adapter folded into the parent's weights."""
    merged: nn.Module = model.merge_and_unload(safe_merge=True)
    return merged


def problem(params: LowRank, model: "nn.Module") -> str | None:
    """A target that cannot take an adapter, a pattern that matches no target, or a rank above a layer's own."""
    from tasks.weights import targets

    if not isinstance(params.target_modules, str) and (words := targets.problem(model, params.target_modules)):
        return words
    layers = dict(targets.targeted(model, params.target_modules))
    if not layers:
        return "target_modules is all-linear, and the base has no linear layer besides its head; name its layers"
    for key in ("rank_pattern", "alpha_pattern"):
        for pattern in getattr(params, key):
            if not any(_fits(pattern, name) for name in layers):
                return f"{key} names `{pattern}`, which is not a layer that gets an adapter"
    return next(_ranks_above(params, layers), None)


def problem_of_start(params: LowRank, model: "nn.Module") -> str | None:
    """A layer whose weights cannot initialise an adapter."""
    from torch import nn

    from tasks.weights.targets import targeted

    if not starts_from_parent(params):
        return None
    other = (name for name, layer in targeted(model, params.target_modules) if not isinstance(layer, nn.Linear))
    name = next(other, None)
    return name and (
        f"init_lora_weights is {params.init_lora_weights}, which is for linear layers, and {name} is not one; leave "
        "it out"
    )


def _ranks_above(params: LowRank, layers: "dict[str, nn.Module]") -> Iterator[str]:
    from tasks.weights.targets import size

    for name, layer in layers.items():
        pattern = next((key for key in params.rank_pattern if _fits(key, name)), None)
        rank = params.r if pattern is None else params.rank_pattern[pattern]
        inputs, outputs = size(layer)
        if rank > min(inputs, outputs):
            key = "r" if pattern is None else f"rank_pattern.{pattern}"
            yield (
                f"{key} is {rank}, and {name} has only {inputs} inputs and {outputs} outputs: a rank above "
                f"{min(inputs, outputs)} adds nothing there; lower it, or name fewer layers in target_modules"
            )


def _fits(pattern: str, name: str) -> bool:
    """Whether a pattern matches a layer, as in peft."""
    return re.match(rf"(.*\.)?({pattern})$", name) is not None
