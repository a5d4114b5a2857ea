"""What kind of model a base is: one that writes, one that reads, or one that reads a text and writes another; told from
its config.json.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from tasks.files import read_json

Architecture = Literal["causal", "encoder", "encoder_decoder"]
BASES: dict[Architecture, str] = {  # what a base of each does
    "causal": "writes",
    "encoder": "reads",
    "encoder_decoder": "reads a text and writes another",
}
WRITES = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")
ENCODER_ALONE = "EncoderModel"  # T5EncoderModel: a config that speaks of a decoder whose weights are not there


def of_config(config: Mapping[str, Any]) -> Architecture:
    """The architecture that a config.json describes; what transformers has no masked language model of, writes.

    Models that also see end in ForConditionalGeneration as well, but only one with an encoder says so.
    """
    names = config.get("architectures") or []
    if _has_decoder(config) and not any(name.endswith(ENCODER_ALONE) for name in names):
        return "encoder_decoder"
    if any(name.endswith(WRITES) for name in names):
        return "causal"
    from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES

    return "encoder" if config.get("model_type") in MODEL_FOR_MASKED_LM_MAPPING_NAMES else "causal"


def _has_decoder(config: Mapping[str, Any]) -> bool:
    if not config.get("is_encoder_decoder"):
        return False
    from transformers.models.auto.modeling_auto import MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES

    return config.get("model_type") in MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES


def of_folder(folder: Path) -> Architecture:
    """The architecture of the weights in `folder`."""
    return of_config(read_json(folder / "config.json"))


def auto_class(architecture: Architecture) -> Any:
    """transformers' class that loads a base of this architecture."""
    import transformers

    if architecture == "encoder_decoder":
        return transformers.AutoModelForSeq2SeqLM
    return transformers.AutoModelForCausalLM if architecture == "causal" else transformers.AutoModel
