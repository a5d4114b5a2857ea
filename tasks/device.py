"""Finds the device of this machine, and makes its computations reproducible."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def device() -> str:
    """`cuda`, `mps` or `cpu`: the best that torch finds here."""
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def compute_dtype() -> "torch.dtype":
    """bfloat16 where the machine multiplies it in hardware, float32 elsewhere: a CPU that emulates it is four times
    slower (docs/log.md).
    """
    import torch

    found = device()
    if found == "cpu":
        fast = any(has is True and "bf16" in name for name, has in torch.cpu.get_capabilities().items())
    else:
        fast = found == "mps" or torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.bfloat16 if fast else torch.float32


def attention() -> str:
    """The attn_implementation that is fastest here: plain products on a CPU, the fused kernel elsewhere.

    For rows of a few hundred tokens the CPU's fused kernel is slower in its backward pass and, with a mask and one
    query token a row, more than twice as slow in decoding (docs/log.md).
    """
    return "eager" if device() == "cpu" else "sdpa"


def seed_everything(seed: int) -> None:
    """Fix the seeds of Python, NumPy and torch, and ask torch for deterministic kernels.

    Those make torch fill all memory that it hands out, lest it be read before it is written: a fifth of a step of a
    small encoder, and nothing here reads such memory.
    """
    import torch
    from transformers import set_seed

    set_seed(seed)
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False
