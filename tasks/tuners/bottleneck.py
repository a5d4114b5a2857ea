"""Bottleneck adapters (Houlsby et al. 2019; parallel: He et al. 2022): two small layers on or beside each block."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from tasks.section import Section

if TYPE_CHECKING:
    from torch import nn

summary = "small networks after attention and MLP, or beside the MLP"
mergeable = False
keeps_parent = True
virtual_tokens = False
grows = False
checkpointing = True
learning_rates = (3.0e-5, 1.0e-2)
source = "3e-5 to 3e-3 (Houlsby et al. 2019), 1e-4 (He et al. 2022); more for small models"


class Params(Section):
    """Houlsby: after attention and MLP. Parallel: beside the MLP."""

    kind: Literal["bottleneck"]
    placement: Literal["houlsby", "parallel"] = "houlsby"
    size: Annotated[int, Field(ge=1, le=65536, description="width of the bottleneck")] = 64
    activation: Literal["relu", "gelu", "silu", "tanh"] = "gelu"
    scaling: Annotated[float, Field(gt=0, le=100, description="factor on the adapter's output")] = 1.0


def hot(params: Params) -> bool:
    """vLLM loads no such adapters."""
    return False


def loading(params: Params) -> dict[str, object]:
    """Nothing beyond the usual."""
    return {}


def attach(params: Params, model: "nn.Module") -> "nn.Module":
    """The parent, frozen, with adapters in fp32 that begin by adding nothing."""
    from tasks.weights.bottleneck import put_on

    adapted: nn.Module = put_on(model, **params.model_dump(exclude={"kind"}))
    return adapted


def save(model: "nn.Module", parent: Path, folder: Path) -> None:
    """The adapters as safetensors; their settings are in tuner.json."""
    from tasks.weights.bottleneck import save

    save(model, folder)


def load(model: "nn.Module", folder: Path) -> "nn.Module":
    """The parent with the adapters in `folder`."""
    from tasks.tuners import settings_of
    from tasks.weights.bottleneck import fill

    adapted = attach(Params(**settings_of(folder).model_dump()), model)
    fill(adapted, folder)
    return adapted.requires_grad_(False)


def merge(model: "nn.Module") -> "nn.Module":
    """What is not linear is no weight."""
    raise ValueError("a network that is not linear cannot be folded into weights")


def problem(params: Params, model: "nn.Module") -> str | None:
    """A base whose blocks go by other names, or a network wider than the base."""
    from tasks.weights.bottleneck import problem

    return problem(model, params.kind, params.placement, params.size)
