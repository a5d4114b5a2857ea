"""Dropout (Srivastava et al. 2014) on a CPU: torch draws its masks there one value after the other, on one thread, a
sixth of a step of a small encoder; 16 bits a value, four values a draw, take a tenth of that.

Each mask follows from a seed of torch's own generator, so what a checkpoint keeps of that is enough to go on.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

STEPS = 2**16  # a share is rounded to one of so many


def mask(shape: Sequence[int], p: float, dtype: torch.dtype) -> torch.Tensor:
    """1 where a value stays, and 0 for a share `p` < 1 of them, drawn anew."""
    count = math.prod(shape)
    seed = int(torch.randint(2**62, ()))
    bits = np.random.SFC64(seed).random_raw(-(-count // 4)).view(np.int16)[:count]
    kept = torch.empty(count, dtype=dtype)
    return torch.ge(torch.from_numpy(bits), _dropped(p) - STEPS // 2, out=kept).view(*shape)


def scale(p: float) -> float:
    """By what the values that stay are multiplied, so that their mean stays what it was."""
    return STEPS / (STEPS - _dropped(p))


def _dropped(p: float) -> int:
    return round(p * STEPS)


class Dropout(nn.Dropout):  # type: ignore[misc]
    """nn.Dropout with masks of another random stream."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Of any shape."""
        if not self.training:
            return input
        return input * mask(input.shape, self.p, input.dtype).mul_(scale(self.p))


def quicken(body: nn.Module) -> None:
    """Let every plain dropout in `body` draw its masks in this way."""
    for parent in list(body.modules()):
        for name, module in parent.named_children():
            if type(module) is nn.Dropout and 0 < _dropped(module.p) < STEPS:
                setattr(parent, name, Dropout(module.p))
