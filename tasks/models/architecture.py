"""The architecture of a base, read from its config.json: causal, encoder, encoder-decoder or vision."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tasks.files import read_json

if TYPE_CHECKING:
    from torch import nn
    from transformers import BaseImageProcessor, PreTrainedTokenizerBase

Architecture = Literal["causal", "encoder", "encoder_decoder", "vision"]
BASES: dict[Architecture, str] = {  # what such a base does
    "causal": "writes",
    "encoder": "reads",
    "encoder_decoder": "reads a text and writes another",
    "vision": "sees",
}
IS: dict[Architecture, str] = {  # why it is not of another architecture
    "causal": "writes and has no encoder beside it",
    "encoder": "reads and does not write",
    "encoder_decoder": "reads a text and writes another",
    "vision": "sees and does not read",
}
WRITERS: frozenset[Architecture] = frozenset({"causal", "encoder_decoder"})
# Image models that also read text, without a body for images alone.
ALSO_READ = ("clip", "imagegpt", "metaclip_2", "perceiver", "siglip", "siglip2", "shieldgemma2")
# Model types whose activations leave the range of float16, which their own training in bfloat16 never met.
OVERFLOWS = ("t5", "mt5", "umt5", "longt5", "switch_transformers", "pegasus", "pegasus_x", "bigbird_pegasus")
WRITES = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")
ENCODER_ALONE = "EncoderModel"  # T5EncoderModel: its config describes a decoder whose weights are missing


def of_config(config: Mapping[str, Any]) -> Architecture:
    """The architecture that a config.json describes; causal where transformers has no masked language model for it.

    Multimodal models end in ForConditionalGeneration too, but only encoder-decoders set `is_encoder_decoder`.
    """
    names = config.get("architectures") or []
    if _has_decoder(config) and not any(name.endswith(ENCODER_ALONE) for name in names):
        return "encoder_decoder"
    if any(name.endswith(WRITES) for name in names):
        return "causal"
    from transformers.models.auto import modeling_auto as known

    kind = config.get("model_type")
    if kind in known.MODEL_FOR_MASKED_LM_MAPPING_NAMES:
        return "encoder"
    return (
        "vision" if kind in known.MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES and kind not in ALSO_READ else "causal"
    )


def _has_decoder(config: Mapping[str, Any]) -> bool:
    if not config.get("is_encoder_decoder"):
        return False
    from transformers.models.auto.modeling_auto import MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES

    return config.get("model_type") in MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES


def of_folder(folder: Path) -> Architecture:
    """The architecture of the weights in `folder`."""
    return of_config(read_json(folder / "config.json"))


def load_processor(folder: Path, **more: object) -> "PreTrainedTokenizerBase | BaseImageProcessor":
    """The tokenizer of the model in `folder`, loaded with `more` arguments of from_pretrained, or its image processor,
    which uses Pillow so that two machines make the same pixels.
    """
    from transformers import AutoImageProcessor, AutoTokenizer

    if (folder / "config.json").exists() and of_folder(folder) == "vision":
        return AutoImageProcessor.from_pretrained(folder, trust_remote_code=False, backend="pil")
    return AutoTokenizer.from_pretrained(folder, trust_remote_code=False, **more)


def without_pooler(body: "nn.Module") -> "nn.Module":
    """`body` without the pooling layer that BERT and ViT have for another task: here it would get no gradient."""
    pooler = getattr(body, "pooler", None)
    if pooler is not None and any(True for _ in pooler.parameters()):
        body.pooler = None
    return body


def auto_class(architecture: Architecture) -> Any:  # no common class has these methods
    """transformers' class that loads a base of this architecture."""
    import transformers

    _leave_out()
    if architecture == "encoder_decoder":
        return transformers.AutoModelForSeq2SeqLM
    return transformers.AutoModelForCausalLM if architecture == "causal" else transformers.AutoModel


def _leave_out() -> None:
    """Hide scikit-learn and SciPy from transformers, which needs one function of each, for assisted generation and
    object detection: importing them takes longer than loading a small model.
    """
    from transformers import utils

    for package, is_available in (("scipy", utils.is_scipy_available), ("sklearn", utils.is_sklearn_available)):
        if package not in sys.modules:
            is_available.cache_clear()
            sys.modules[package] = None  # type: ignore[assignment]  # no spec is found for None
            try:
                is_available()  # caches its result
            finally:
                del sys.modules[package]
