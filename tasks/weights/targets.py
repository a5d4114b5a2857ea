"""Which layers of a model can take an adapter, and whether `target_modules` names such layers."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.section import suggestion

if TYPE_CHECKING:
    from torch import nn


def without_weights(folder: Path) -> "nn.Module":
    """The model that `folder`/config.json describes, built on the meta device: all its layers, no memory."""
    import torch
    from transformers import AutoConfig

    from tasks.models.architecture import auto_class, of_folder

    config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    with torch.device("meta"):
        model: nn.Module = auto_class(of_folder(folder)).from_config(config, trust_remote_code=False)
    return model


def problem(model: "nn.Module", targets: Iterable[str]) -> str | None:
    """Why peft could not put adapters on all `targets` of `model`, from the key on; None when it can.

    Names match as in peft: a target is a layer's whole name or its end after a dot. peft itself accepts targets if only
    one of them matches.
    """
    names = _adaptable(model)
    for target in targets:
        if not any(name == target or name.endswith(f".{target}") for name in names):
            known = {name.rpartition(".")[2] for name in names}
            return (
                f"target_modules names `{target}`, which is not a linear layer or an embedding of the "
                f"base{suggestion(target, known)}"
            )
    return None


def targeted(model: "nn.Module", targets: str | Iterable[str]) -> "list[tuple[str, nn.Module]]":
    """(name, layer) of each layer that gets an adapter: those that `targets` name, or all linear ones but the head."""
    from torch import nn
    from transformers.pytorch_utils import Conv1D

    layers = dict(model.named_modules())
    if isinstance(targets, str):
        head = model.get_output_embeddings()  # None where there is none
        return [
            (n, layer) for n, layer in layers.items() if isinstance(layer, nn.Linear | Conv1D) and layer is not head
        ]
    ends = tuple(targets)
    names = [name for name in _adaptable(model) if any(name == end or name.endswith(f".{end}") for end in ends)]
    return [(name, layers[name]) for name in names]


def task_type(model: "nn.Module") -> str | None:
    """peft's task type of a model that writes; None for others, which peft wraps as they are."""
    if not hasattr(model, "prepare_inputs_for_generation"):
        return None
    return "SEQ_2_SEQ_LM" if getattr(model.config, "is_encoder_decoder", False) else "CAUSAL_LM"


def size(layer: "nn.Module") -> tuple[int, int]:
    """(inputs, outputs) of a layer that can take an adapter."""
    from torch import nn

    if isinstance(layer, nn.Linear):
        return layer.in_features, layer.out_features
    if isinstance(layer, nn.Embedding):
        return layer.num_embeddings, layer.embedding_dim
    inputs, outputs = layer.weight.shape  # transformers' Conv1D
    return int(inputs), int(outputs)


def _adaptable(model: "nn.Module") -> list[str]:
    from torch import nn
    from transformers.pytorch_utils import Conv1D

    return [name for name, layer in model.named_modules() if isinstance(layer, nn.Linear | nn.Embedding | Conv1D)]
