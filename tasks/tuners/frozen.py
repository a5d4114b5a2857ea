"""No weight of the parent learns, only the head on it: a linear classifier on embeddings, trained, registered and
served like any model.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tasks.section import Section

if TYPE_CHECKING:
    from torch import nn

summary = "none of the parent's weights, only the objective's head"
mergeable = True
keeps_parent = True
virtual_tokens = False
grows = False
checkpointing = False
only_head = True  # so the objective must have one
learning_rates = (1.0e-3, 1.0e-2)
source = "a linear probe takes the rates of a head (train.objective.head_learning_rate), far above those of a body"


class Params(Section):
    """The parent as it is."""

    kind: Literal["frozen"]


def hot(params: Params) -> bool:
    """There is no adapter to load."""
    return False


def loading(params: Params) -> dict[str, object]:
    """Nothing beyond the usual."""
    return {}


def attach(params: Params, model: "nn.Module") -> "nn.Module":
    """The parent, frozen."""
    return model.requires_grad_(False)


def save(model: "nn.Module", parent: Path, folder: Path) -> None:
    """Nothing: the objective saves its head."""


def load(model: "nn.Module", folder: Path) -> "nn.Module":
    """The parent itself."""
    return model


def merge(model: "nn.Module") -> "nn.Module":
    """The parent itself."""
    return model


def problem(params: Params, model: "nn.Module") -> str | None:
    """None: any body will do. That the objective has a head is checked from the kinds."""
    return None
