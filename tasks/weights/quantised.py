"""Keeps bitsandbytes' layers fit for training."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.errors import ParamsError

if TYPE_CHECKING:
    import torch


def keep_trainable(model: "torch.nn.Module") -> None:
    """Make the 4-bit layers of `model` compute in its dtype, and keep their weights in the form that gradients need.

    On a CPU with bfloat16 products, a layer that runs once without gradients packs its weights for a kernel
    through which no gradient flows, and never unpacks them: an evaluation amid training would end the training.
    """
    from bitsandbytes.nn.modules import Linear4bit

    # With 8 bits it logs each cast.
    logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)
    dtype = next(weight.dtype for weight in model.parameters() if weight.is_floating_point())
    for layer in model.modules():
        if isinstance(layer, Linear4bit):
            layer.support_avx512bf16_for_cpu = False
            layer.compute_dtype, layer.compute_type_is_set = dtype, True


def start_from_loss(model: "torch.nn.Module") -> None:
    """Start the adapters of a peft `model` from what 4 bits lost of each weight, s B₀ A₀ ≈ W - Q, and note that start:
    it is no part of what is learnt (LoftQ, Li et al. 2023, arXiv:2310.08659, one step; peft's own needs a GPU).

    ParamsError when the parent's files do not name their weights as its layers are named.
    """
    import torch
    from bitsandbytes.functional import dequantize_4bit
    from peft.tuners.lora import Linear4bit

    from tasks.weights.lora import keep_start

    folder = Path(model.get_base_model().name_or_path)
    for path, layer in model.get_base_model().named_modules():
        if not isinstance(layer, Linear4bit):
            continue
        (name,) = layer.active_adapters
        packed = layer.get_base_layer().weight
        quantised = dequantize_4bit(packed.data, packed.quant_state).float()
        lost = _weight(folder, f"{path}.weight").to(quantised.device).float() - quantised
        left, sizes, right = torch.linalg.svd(lost, full_matrices=False)
        root = (sizes[: layer.r[name]] / layer.scaling[name]).sqrt()
        layer.lora_A[name].weight.data = root[:, None] * right[: layer.r[name]]
        layer.lora_B[name].weight.data = left[:, : layer.r[name]] * root
        keep_start(layer)


def _weight(folder: Path, name: str) -> "torch.Tensor":
    from safetensors import safe_open

    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, framework="pt") as weights:
            if name in weights.keys():  # noqa: SIM118 - not a dict
                return weights.get_tensor(name)
    raise ParamsError(
        f"params.yaml: train.tuner.init_lora_weights is loftq, and {folder} has no {name} to start from; leave it out."
    )
