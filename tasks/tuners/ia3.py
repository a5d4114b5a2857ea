"""Vectors that rescale keys, values and the feed-forward layers (Liu et al. 2022, arXiv:2205.05638), by peft."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from tasks.section import Section

if TYPE_CHECKING:
    from torch import nn

summary = "one factor per output (for feed-forward layers: input) of some linear layers"
mergeable = True
keeps_parent = True
virtual_tokens = False
grows = False
checkpointing = True
learning_rates = (1.0e-3, 3.0e-2)
source = "peft, method_comparison: 31 % on GSM8K at its default, 40 % at 1e-3, 46 % at 5e-3"

OF_VIT = ("k_proj", "v_proj", "fc2")  # keys, values, and what a feed-forward block gives
Targets = Literal["all-linear"] | Annotated[list[str], Field(min_length=1)] | None


class Params(Section):
    """(IA)³; names are peft's. What is not named is what peft takes for the base's architecture."""

    kind: Literal["ia3"]
    target_modules: Targets = None
    feedforward_modules: list[str] | None = Field(
        default=None, description="the modules that are rescaled at their inputs"
    )


def hot(params: Params) -> bool:
    """vLLM loads no vectors; they are merged."""
    return False


def loading(params: Params) -> dict[str, object]:
    """Nothing beyond the usual."""
    return {}


def attach(params: Params, model: "nn.Module") -> "nn.Module":
    """The parent, frozen, under vectors of ones in fp32."""
    from peft import IA3Config, get_peft_model

    from tasks.weights.targets import targeted, task_type

    targets, feedforward = _targets(params, model)
    names, inputs = ([name for name, _ in targeted(model, ends or [])] for ends in (targets, feedforward))
    config = IA3Config(task_type=task_type(model), target_modules=names, feedforward_modules=inputs)
    adapted: nn.Module = get_peft_model(model, config, autocast_adapter_dtype=True)
    return adapted


def save(model: "nn.Module", parent: Path, folder: Path) -> None:
    """The vectors as safetensors, and a config that names each layer: peft's would not fit its own check."""
    from peft.tuners.ia3.layer import IA3Layer

    from tasks.files import read_json, write_text
    from tasks.weights import adapters

    adapters.save(model, parent, folder)
    layers = {
        name.removeprefix("base_model.model."): layer.is_feedforward
        for name, layer in model.named_modules()
        if isinstance(layer, IA3Layer)
    }
    file = folder / "adapter_config.json"
    named = {
        "target_modules": sorted(layers),
        "feedforward_modules": sorted(n for n, inputs in layers.items() if inputs),
    }
    write_text(file, json.dumps({**read_json(file), **named}, indent=2, sort_keys=True) + "\n")


def load(model: "nn.Module", folder: Path) -> "nn.Module":
    """The parent under the vectors in `folder`."""
    from tasks.weights.adapters import load

    return load(model, folder)


def merge(model: "nn.Module") -> "nn.Module":
    """The vectors multiplied into the parent's weights."""
    from tasks.weights.adapters import merge

    return merge(model)


def problem(params: Params, model: "nn.Module") -> str | None:
    """A target that is no layer for a vector, or none named for a base that peft has no targets for."""
    from tasks.weights.targets import problem, targeted

    targets, feedforward = _targets(params, model)
    if targets is None:
        return (
            f"target_modules is missing, and peft knows none for bases of type {_type(model)}; name the layers of keys "
            "and values, and the output layers of the feed-forward blocks (in feedforward_modules as well)"
        )
    if not isinstance(targets, str) and (words := problem(model, targets)):
        return words
    layers = [name for name, _ in targeted(model, targets)]
    for end in feedforward:
        if not any(name == end or name.endswith(f".{end}") for name in layers):
            return f"feedforward_modules names `{end}`, which is not a layer that target_modules names"
    return None


def _targets(params: Params, model: "nn.Module") -> tuple[str | list[str] | None, list[str]]:
    """(the layers, those of them that are rescaled at their inputs), peft's own where the section names none."""
    from peft.utils.constants import (
        TRANSFORMERS_MODELS_TO_IA3_FEEDFORWARD_MODULES_MAPPING,
        TRANSFORMERS_MODELS_TO_IA3_TARGET_MODULES_MAPPING,
    )

    targets, feedforward = params.target_modules, params.feedforward_modules
    if targets is None:
        targets = TRANSFORMERS_MODELS_TO_IA3_TARGET_MODULES_MAPPING.get(_type(model))
        usual = TRANSFORMERS_MODELS_TO_IA3_FEEDFORWARD_MODULES_MAPPING.get(_type(model), [])
        if targets is None and _is_like_vit(model):
            targets, usual = [*OF_VIT], [OF_VIT[-1]]
        return targets, usual if feedforward is None else feedforward
    return targets, feedforward or []


def _is_like_vit(model: "nn.Module") -> bool:
    """Whether layers go by the names that transformers gives those of models that see, which peft does not know."""
    ends = {name.rpartition(".")[2] for name, _ in model.named_modules()}
    return ends.issuperset(OF_VIT)


def _type(model: "nn.Module") -> str:
    return str(model.config.model_type)
