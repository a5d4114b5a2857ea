"""What kind of model a base is: one that writes, or one that reads; told from its config.json."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from tasks.files import read_json

Architecture = Literal["causal", "encoder"]
WRITES = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")


def of_config(config: Mapping[str, Any]) -> Architecture:
    """The architecture that a config.json describes; what transformers has no masked language model of, writes."""
    names = config.get("architectures") or []
    if any(name.endswith(WRITES) for name in names):
        return "causal"
    from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES

    return "encoder" if config.get("model_type") in MODEL_FOR_MASKED_LM_MAPPING_NAMES else "causal"


def of_folder(folder: Path) -> Architecture:
    """The architecture of the weights in `folder`."""
    return of_config(read_json(folder / "config.json"))


def auto_class(architecture: Architecture) -> Any:
    """transformers' class that loads a base of this architecture."""
    import transformers

    return transformers.AutoModelForCausalLM if architecture == "causal" else transformers.AutoModel
