"""AdapterFusion (Pfeiffer et al. 2021, arXiv:2005.00247): for each token, each block learns which of several models'
bottleneck adapters to use; the adapters themselves stay as they are.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from tasks.errors import ParamsError
from tasks.files import read_json, write_json
from tasks.section import Section

if TYPE_CHECKING:
    from torch import nn

summary = "attention over the bottleneck adapters of several models"
mergeable = False
keeps_parent = True
virtual_tokens = False
grows = False
checkpointing = True
of_models = True
least = 2
learns = True
only_writers = False
parts = frozenset({"bottleneck"})
learning_rates = (5.0e-5, 1.0e-2)
source = "5e-5 (Pfeiffer et al. 2021, beside 1e-4 for the adapters), as with bottleneck more for small models"

FILE = "fusion.json"  # what the adapters' models are called, and their settings


class Params(Section):
    """How each block chooses."""

    kind: Literal["fusion"]
    size: Annotated[int, Field(ge=1, le=65536)] | None = Field(
        default=None, description="width of query and key; by default that of the base, as in the paper"
    )
    values: bool = Field(default=True, description="also learn a value matrix, from the identity on (I + W)")


def hot(params: Params) -> bool:
    """vLLM loads no such adapters."""
    return False


def loading(params: Params) -> dict[str, object]:
    """Nothing beyond the usual."""
    return {}


def attach(params: Params, model: "nn.Module") -> "nn.Module":
    """Without adapters there is nothing to choose from."""
    raise ParamsError("params.yaml: train.tuner.kind is fusion, and the dataset brings no adapters; see `bundles`.")


def attach_parts(params: Params, model: "nn.Module", parts: Mapping[str, Path]) -> "nn.Module":
    """The parent and the adapters of `parts`, frozen, under fusions in fp32."""
    from tasks.tuners import settings_of
    from tasks.weights.bottleneck import fill_part
    from tasks.weights.fusion import NAME

    fused = _put_on(
        params, model, [{"model": name, **settings_of(folder).model_dump()} for name, folder in parts.items()]
    )
    for place, (name, folder) in enumerate(parts.items()):
        fill_part(fused, f"{NAME}.adapters.{place}", name, folder)
    return fused


def _put_on(params: Params, model: "nn.Module", adapters: list[dict[str, object]]) -> "nn.Module":
    from tasks.weights.fusion import put_on

    fused: nn.Module = put_on(model, str(adapters[0]["placement"]), params.size, params.values, adapters)
    fused.fused = adapters
    return fused


def save(model: "nn.Module", parent: Path, folder: Path) -> None:
    """Adapters and fusions as safetensors, and the settings of the adapters; those of the fusion are in tuner.json."""
    from tasks.weights.bottleneck import save
    from tasks.weights.fusion import NAME

    save(model, folder, NAME)
    write_json(folder / FILE, {"adapters": model.fused})


def load(model: "nn.Module", folder: Path) -> "nn.Module":
    """The parent with the adapters and fusions in `folder`."""
    from tasks.tuners import settings_of
    from tasks.weights.bottleneck import fill
    from tasks.weights.fusion import NAME

    fused = _put_on(Params(**settings_of(folder).model_dump()), model, read_json(folder / FILE)["adapters"])
    fill(fused, folder, NAME)
    return fused.requires_grad_(False)


def merge(model: "nn.Module") -> "nn.Module":
    """What is not linear is no weight."""
    raise ValueError("a network that is not linear cannot be folded into weights")


def problem(params: Params, model: "nn.Module") -> str | None:
    """A query wider than the base."""
    width = model.config.get_text_config().hidden_size
    return f"size is {params.size}, and the base is {width} wide; lower it." if (params.size or 0) > width else None


def problem_of_parts(params: Params, parts: Mapping[str, Section]) -> str | None:
    """Adapters that stand on different blocks."""
    placements = {name: getattr(part, "placement", None) for name, part in parts.items()}
    if len({*placements.values()}) == 1:
        return None
    listed = ", ".join(f"{name}: {placement}" for name, placement in placements.items())
    return f"kind is fusion, and the adapters stand in different places ({listed}); train them with one placement."
