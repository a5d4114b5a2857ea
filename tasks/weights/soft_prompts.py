"""Shared by the kinds of virtual tokens (prefix, prompt, p-tuning), except their creation, which
tasks/weights/virtual.py does.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from tasks.section import Section

if TYPE_CHECKING:
    from torch import nn


class SoftPrompt(Section):
    """The settings that all share; names are peft's."""

    num_virtual_tokens: Annotated[int, Field(ge=1, le=1000)] = 20


def hot(params: SoftPrompt) -> bool:
    """vLLM loads no virtual tokens."""
    return False


def loading(params: SoftPrompt) -> dict[str, object]:
    """Nothing beyond the usual."""
    return {}


def save(model: "nn.Module", parent: Path, folder: Path) -> None:
    """The virtual tokens as safetensors, and a config."""
    from tasks.weights import virtual

    virtual.save(model, parent, folder)


def load(model: "nn.Module", folder: Path) -> "nn.Module":
    """The parent behind the virtual tokens in `folder`."""
    from tasks.weights import virtual

    adapted: nn.Module = virtual.load(model, folder)
    return adapted


def merge(model: "nn.Module") -> "nn.Module":
    """Virtual tokens cannot be merged: raises ValueError."""
    raise ValueError("virtual tokens cannot be folded into weights")


def problem(params: SoftPrompt, model: "nn.Module") -> str | None:
    """More tokens than the base has positions for."""
    from tasks.weights import virtual

    return virtual.problem(model, params.num_virtual_tokens)
