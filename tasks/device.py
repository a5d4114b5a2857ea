"""Finds the device of this machine, and makes its computations reproducible."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def device() -> str:
    """Return `cuda`, `mps` or `cpu`: the best device that torch finds."""
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def compute_dtype() -> "torch.dtype":
    """Return bfloat16 if the device multiplies it in hardware, else float32: a CPU that emulates it is four times
    slower (docs/log.md).
    """
    import torch

    name = device()
    if name == "cpu":
        capabilities = torch.cpu.get_capabilities().items()
        is_native = any(has is True and "bf16" in capability for capability, has in capabilities)
    else:
        is_native = name == "mps" or torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.bfloat16 if is_native else torch.float32


def attention() -> str:
    """Return the fastest attn_implementation: plain products on a CPU, the fused kernel elsewhere.

    For rows of a few hundred tokens the CPU's fused kernel is slower in its backward pass and, with a mask and one
    query token a row, more than twice as slow in decoding (docs/log.md).
    """
    return "eager" if device() == "cpu" else "sdpa"


def seed_everything(seed: int) -> None:
    """Fix the seeds of Python, NumPy and torch, and ask torch for deterministic kernels.

    The latter also make torch fill all memory that it allocates, a fifth of a step of a small encoder. That is turned
    off: nothing here reads memory before writing it.
    """
    import torch
    from transformers import set_seed

    set_seed(seed)
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False
