"""Linear heads in fp32 on a body: how they are initialised and saved."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Required, TypedDict

from tasks.files import read_json, write_json

if TYPE_CHECKING:
    from torch import nn

FILE = "head.json"  # in a trained folder, except that of a causal language model; see HeadFacts
WEIGHTS = "head.safetensors"
NGRAMS = "ngrams.safetensors"  # of a linear classifier beside the heads (tasks/models/ngrams.py)


class HeadFacts(TypedDict, total=False):
    """The content of head.json."""

    kind: Required[str]  # of the objective
    pooling: Literal["mean", "first", "last"]
    classes: dict[str, list[str]]  # {column: its classes}
    labels: list[str]  # of entities
    place: Literal["first", "last"]  # of the token whose tag is a word's
    most_tokens: int  # of an answer in a text
    scales: dict[str, tuple[float, float]]  # {column: mean and standard deviation of its numbers}


def linear(body: "nn.Module", choices: Sequence[int], width: int | None = None) -> "nn.ModuleList":
    """A layer on `body` for each number of choices, initialised as transformers' classifiers are; `width`: of the body's
    output, if its config has no text config.
    """
    from torch import nn

    width, device = width or body.config.get_text_config().hidden_size, next(body.parameters()).device
    layers = nn.ModuleList(nn.Linear(width, count, device=device) for count in choices)
    for layer in layers:
        nn.init.normal_(layer.weight, std=getattr(body.config, "initializer_range", 0.02))
        nn.init.zeros_(layer.bias)
    return layers


def save(layers: "nn.ModuleList", facts: HeadFacts, folder: Path) -> None:
    """head.safetensors, and head.json with `facts`."""
    from safetensors.torch import save_file

    weights = {name: weight.detach().cpu().contiguous() for name, weight in layers.state_dict().items()}
    save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})
    write_json(folder / FILE, facts)


def facts(trained: Path) -> HeadFacts:
    """The content of head.json in `trained/`."""
    content: HeadFacts = read_json(trained / FILE)
    return content


def fill(layers: "nn.ModuleList", trained: Path) -> None:
    """Give `layers` the weights in `trained/`."""
    from safetensors.torch import load_file

    layers.load_state_dict(load_file(trained / WEIGHTS))
