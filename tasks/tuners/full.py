"""All weights of the parent learn."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tasks.weights import layer_groups

if TYPE_CHECKING:
    from torch import nn

summary = "all weights; optionally with layer-wise rates and gradual unfreezing"
mergeable = True
keeps_parent = False
virtual_tokens = False
grows = True
checkpointing = True
learning_rates = (1.0e-6, 1.0e-3)
source = "1e-3 for 135M parameters (alignment-handbook, recipes/smollm2), 1e-5 for 3B (peft, method_comparison)"


class Params(layer_groups.Layered):
    """Full fine-tuning."""

    kind: Literal["full"]


def hot(params: Params) -> bool:
    """vLLM loads adapters, not weights, into a server that runs."""
    return False


def loading(params: Params) -> dict[str, object]:
    """Weights that learn are held in fp32: a step of Adam is smaller than what bf16 can tell apart."""
    import torch

    return {"dtype": torch.float32}


def attach(params: Params, model: "nn.Module") -> "nn.Module":
    """The parent as it is; its weights learn, and are computed with in the precision of the run."""
    return model.requires_grad_(True)


def save(model: "nn.Module", parent: Path, folder: Path) -> None:
    """The weights as safetensors, in the precision of the parent's."""
    import torch
    from transformers import AutoConfig

    dtype = AutoConfig.from_pretrained(parent).dtype or torch.float32
    model.to(dtype).save_pretrained(folder)


def load(model: "nn.Module", folder: Path) -> "nn.Module":
    """The weights in `folder` in place of the parent's, with an embedding of their size."""
    from safetensors.torch import load_model
    from transformers import AutoConfig

    tokens = getattr(AutoConfig.from_pretrained(folder).get_text_config(), "vocab_size", None)  # of a model that reads
    if tokens and tokens != model.get_input_embeddings().num_embeddings:
        model.resize_token_embeddings(tokens, mean_resizing=False)

    strange = [load_model(model, file, strict=False)[1] for file in sorted(folder.glob("model*.safetensors"))]
    if any(strange):  # transformers writes some models under the names of their first checkpoints
        saved = type(model).from_pretrained(folder, dtype=model.dtype, trust_remote_code=False)
        model.load_state_dict(saved.state_dict(), strict=False)
    loaded: nn.Module = model
    return loaded


def merge(model: "nn.Module") -> "nn.Module":
    """The model itself."""
    return model


def problem(params: Params, model: "nn.Module") -> str | None:
    """Any model can be tuned whole; layer by layer only if its layers are recognised."""
    return layer_groups.problem(params, model)
