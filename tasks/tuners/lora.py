"""Low-rank adapters on linear layers (Hu et al. 2021, arXiv:2106.09685), by peft."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from tasks.section import Section

if TYPE_CHECKING:
    from torch import nn

summary = "low-rank matrices beside the linear layers"
mergeable = True
keeps_parent = True
virtual_tokens = False
learning_rates = (5.0e-5, 5.0e-3)
source = "about ten times that of full tuning (Thinking Machines, LoRA Without Regret, 2025)"


class Params(Section):
    """LoRA; names are peft's."""

    kind: Literal["lora"]
    r: Annotated[int, Field(ge=1, le=512, description="rank of the adapter")] = 16
    lora_alpha: Annotated[int, Field(ge=1, le=4096, description="the update is scaled by lora_alpha / r")] = 32
    lora_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    target_modules: Literal["all-linear"] | Annotated[list[str], Field(min_length=1)] = "all-linear"


def hot(params: Params) -> bool:
    """vLLM loads LoRA."""
    return True


def loading(params: Params) -> dict[str, Any]:
    """Nothing beyond the usual."""
    return {}


def attach(params: Params, model: "nn.Module") -> "nn.Module":
    """The parent, frozen, under adapters in fp32."""
    from peft import LoraConfig, get_peft_model

    from tasks.lora import speed_up

    config = LoraConfig(
        r=params.r,
        lora_alpha=params.lora_alpha,
        lora_dropout=params.lora_dropout,
        target_modules=params.target_modules,
        task_type="CAUSAL_LM",
    )
    adapted: nn.Module = get_peft_model(model, config, autocast_adapter_dtype=True)
    speed_up(adapted)
    return adapted


def save(model: Any, parent: Path, folder: Path) -> None:
    """The adapter as safetensors and a config with sorted keys and lists."""
    model.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)  # peft's empty card; package writes the real one
    file = folder / "adapter_config.json"
    config = json.loads(file.read_text())
    config["target_modules"] = sorted(config["target_modules"])
    config["base_model_name_or_path"] = parent.as_posix()
    file.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def load(model: "nn.Module", folder: Path) -> "nn.Module":
    """The parent under the adapter in `folder`."""
    from peft import PeftModel

    from tasks.lora import speed_up

    adapted: nn.Module = PeftModel.from_pretrained(model, folder, autocast_adapter_dtype=False)
    speed_up(adapted)
    return adapted


def merge(model: Any) -> "nn.Module":
    """The adapter folded into the parent's weights."""
    merged: nn.Module = model.merge_and_unload(safe_merge=True)
    return merged


def problem(params: Params, model: "nn.Module") -> str | None:
    """A target that is not a layer which can take an adapter."""
    from tasks.targets import problem

    return None if isinstance(params.target_modules, str) else problem(model, params.target_modules)
