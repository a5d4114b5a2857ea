"""A bottleneck adapter that learns on top of another model's, which stays as it is (MAD-X, Pfeiffer et al. 2020,
arXiv:2005.00052: a task on a language).

h ← h + a(h), where h is what a block returns with the lower adapter's part in it: at first the lower model itself.
(MAD-X adds a(h) to what the block returns without that part, and so begins as the parent.)
"""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from tasks.errors import ParamsError
from tasks.files import read_json, write_json
from tasks.section import Section

if TYPE_CHECKING:
    from torch import nn

    from tasks.weights.bottleneck import Layer

summary = "small networks after attention and MLP, on top of those of another model"
mergeable = False
keeps_parent = True
virtual_tokens = False
grows = False
checkpointing = True
of_models = True
least = 1
learns = True
only_writers = False
parts = frozenset({"bottleneck"})
learning_rates = (3.0e-5, 1.0e-2)
source = "as for bottleneck"

FILE = "stack.json"  # the model of the lower adapter, and its settings


class Params(Section):
    """The upper adapter."""

    kind: Literal["stack"]
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
    """Without another model's adapter there is nothing to stand on."""
    raise ParamsError("params.yaml: train.tuner.kind is stack, and the dataset brings no adapter; see `bundles`.")


def attach_parts(params: Params, model: "nn.Module", parts: Mapping[str, Path]) -> "nn.Module":
    """The parent and the one adapter of `parts`, frozen, under adapters in fp32 that begin by adding nothing."""
    from tasks.tuners import settings_of
    from tasks.weights.bottleneck import STACK, Layer, fill_part

    if words := _too_many(parts):
        raise ParamsError(f"params.yaml: train.tuner.{words}")
    ((name, folder),) = parts.items()
    lower = Layer(**settings_of(folder).model_dump(exclude={"kind"}))
    stacked = _put_on(params, model, name, lower)
    fill_part(stacked, f"{STACK}.0", name, folder)
    return stacked


def _put_on(params: Params, model: "nn.Module", name: str, lower: "Layer") -> "nn.Module":
    from tasks.weights.bottleneck import Layer, stack_on

    upper = Layer("houlsby", params.size, params.activation, params.scaling)
    stacked: nn.Module = stack_on(model, [lower, upper])
    stacked.below = name, lower
    return stacked


def save(model: "nn.Module", parent: Path, folder: Path) -> None:
    """Both adapters as safetensors, and the settings of the lower one; those of the upper are in tuner.json."""
    from dataclasses import asdict

    from tasks.weights.bottleneck import STACK, save

    save(model, folder, STACK)
    name, lower = model.below
    write_json(folder / FILE, {"model": name, "adapter": asdict(lower)})


def load(model: "nn.Module", folder: Path) -> "nn.Module":
    """The parent with both adapters in `folder`."""
    from tasks.tuners import settings_of
    from tasks.weights.bottleneck import STACK, Layer, fill

    below = read_json(folder / FILE)
    stacked = _put_on(Params(**settings_of(folder).model_dump()), model, below["model"], Layer(**below["adapter"]))
    fill(stacked, folder, STACK)
    return stacked.requires_grad_(False)


def merge(model: "nn.Module") -> "nn.Module":
    """What is not linear is no weight."""
    raise ValueError("a network that is not linear cannot be folded into weights")


def problem(params: Params, model: "nn.Module") -> str | None:
    """A base whose blocks go by other names, or a network wider than the base."""
    from tasks.weights.bottleneck import problem

    return problem(model, params.kind, "houlsby", params.size)


def problem_of_parts(params: Params, parts: Mapping[str, Section]) -> str | None:
    """More than one adapter."""
    return _too_many(parts)


def _too_many(models: Collection[str]) -> str | None:
    if len(models) == 1:
        return None
    return (
        "kind is stack, which stands on the adapter of one model, and the dataset brings those of "
        f"{', '.join(models)}; use fusion, or a dataset with one."
    )
