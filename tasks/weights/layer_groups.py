"""Groups the weights of a model by their distance from the output, and so by learning rate and the epoch they start to
learn.

Howard & Ruder 2018 (ULMFiT, arXiv:1801.06146): each layer learns at a share of the rate of the layer above it
("discriminative fine-tuning", 1/2.6 there), and one layer more is unfrozen with each epoch, the last one first. A head
starts from noise and is one layer: it learns faster than what lies below it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from tasks.section import Section

if TYPE_CHECKING:
    from torch import nn


HEAD_SHARE, HEAD_RATE = 20, 2.0e-3


class Layered(Section):
    """Settings of a tuner that can treat layers differently; by default it does not."""

    layer_decay: Annotated[
        float, Field(gt=0, le=1, description="factor on the learning rate for each layer further from the output")
    ] = 1.0
    gradual_unfreezing: bool = Field(
        default=False, description="unfreeze one more layer each epoch, from the last to the first"
    )

    @property
    def is_layerwise(self) -> bool:
        """Whether layers are treated differently."""
        return self.layer_decay < 1 or self.gradual_unfreezing


class Headed(Section):
    """Settings of an objective that puts a head on a body."""

    head_learning_rate: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        default=None,
        description=f"peak rate of the head; by default {HEAD_SHARE} times learning_rate, at most {HEAD_RATE:g} or "
        "learning_rate itself if that is higher",
    )


def head_rate(settings: Section, learning_rate: float) -> float:
    """The learning rate of a head, where the body's is `learning_rate`.

    On the shipped tickets MiniLM was tuned best at 1e-4 with its heads at 20 times that; a linear layer on fixed
    features learns at about 1e-3 (Adam's default) to 1e-2, whatever its body's rate.
    """
    rate: float | None = getattr(settings, "head_learning_rate", None)
    return rate or max(learning_rate, min(HEAD_SHARE * learning_rate, HEAD_RATE))


@dataclass(frozen=True)
class Group:
    """Weights that learn at one rate and begin together."""

    names: tuple[str, ...]  # as in `named_parameters` of the model
    rate: float  # factor of the run's learning rate
    first_epoch: int  # counted from 0; frozen before


def groups(settings: Section, model: "nn.Module") -> tuple[Group, ...]:
    """The groups of `model`, from the output down; none where the settings treat all weights alike.

    Group i has the rate layer_decay^i and begins in epoch i. If there are only norms above the last layer, as where the
    head is tied to the embeddings, they begin together with the last layer.
    """
    if not isinstance(settings, Layered) or not settings.is_layerwise:
        return ()
    weights = dict(model.named_parameters())
    depths = by_depth(model)
    early = int(all(weights[name].dim() < 2 for name in depths[0]))
    return tuple(
        Group(tuple(names), settings.layer_decay**depth, max(0, depth - early) * settings.gradual_unfreezing)
        for depth, names in enumerate(depths)
    )


def with_head(groups: Sequence[Group], model: "nn.Module", body: "nn.Module", rate: float) -> tuple[Group, ...]:
    """`groups` with the weights that learn and are not in `body`, a head's, in groups of their own at the end, whose
    factor is `rate`; unchanged where there are none, or they learn at the rate of all.
    """
    inside = {id(weight) for weight in body.parameters()}
    learnt = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    heads = {name for name, weight in learnt.items() if id(weight) not in inside}
    if not heads or rate == 1:
        return tuple(groups)
    all_groups = groups or (Group(tuple(learnt), 1.0, 0),)
    parts = [
        (group, [name for name in group.names if (name in heads) is is_head])
        for is_head in (False, True)
        for group in all_groups
    ]
    return tuple(
        replace(group, names=tuple(names), rate=rate if names[0] in heads else group.rate)
        for group, names in parts
        if names
    )


def problem(settings: Layered, model: "nn.Module") -> str | None:
    """Why the settings cannot be carried out on `model`, from the key on; None when they can."""
    if not settings.is_layerwise or stacks(model):
        return None
    key = "gradual_unfreezing" if settings.gradual_unfreezing else "layer_decay"
    return f"{key} works by layer, and no layers were recognised in a {type(model).__name__}; leave it out"


def by_depth(model: "nn.Module") -> list[list[str]]:
    """The names of all weights: those above the layers (head, final norm, pooler), then a list a layer, the last layer
    first, then those below (embeddings, also where a head is tied to them).

    Stacks of layers are aligned at their last layers, an encoder's beside its decoder's, whose every layer reads it.
    transformers registers modules in the order of their use, which says what is above and what below; norms that are
    registered out of order (OPT's final one, BART's of its embeddings) count as the other.
    """
    from torch import nn

    lengths = stacks(model)
    weights = dict(model.named_parameters())
    embedded = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
    inside = {id(weight) for weight in _body(model).parameters()}
    places = {name: place for place, name in enumerate(weights)}
    starts = {stack: min(place for name, place in places.items() if _is_within(name, [stack])) for stack in lengths}
    above: list[str] = []
    below: list[str] = []
    layers: list[list[str]] = [[] for _ in range(max(lengths.values(), default=0))]
    for name, weight in weights.items():
        stack = next((stack for stack in lengths if _is_within(name, [stack])), None)
        if stack:
            number = int(name.removeprefix(f"{stack}.").partition(".")[0])
            layers[lengths[stack] - 1 - number].append(name)
        elif id(weight) in embedded or (id(weight) in inside and _precedes(name, places[name], starts)):
            below.append(name)
        else:
            above.append(name)
    return [names for names in (above, *layers, below) if names]


def stacks(model: "nn.Module") -> dict[str, int]:
    """Each outermost list of layers in the body of `model`: its name, and how many layers it has.

    A layer has three or more weight matrices; a list of convolutions, or of heads of one or two layers, does not count.
    A list of as many parts beside one holds parts of its layers (XLM keeps attentions, norms and MLPs apart).
    """
    from torch import nn

    inside = {id(module) for module in _body(model).modules()}
    lists = {name: m for name, m in model.named_modules() if isinstance(m, nn.ModuleList) and len(m)}
    lengths: dict[str, int] = {}
    for name, parts in lists.items():
        if id(parts) in inside and all(map(_is_layer, parts)) and not _is_within(name, lengths):
            lengths[name] = len(parts)
    owners = {(name.rpartition(".")[0], length) for name, length in lengths.items()}
    return {name: len(parts) for name, parts in lists.items() if (name.rpartition(".")[0], len(parts)) in owners}


def _is_within(name: str, outer: Iterable[str]) -> bool:
    return any(name.startswith(f"{other}.") for other in outer)


def _is_layer(module: "nn.Module") -> bool:
    return len([weight for weight in module.parameters() if weight.dim() > 1]) > 2


def _body(model: "nn.Module") -> "nn.Module":
    """The model without its heads, as transformers separates them."""
    body: nn.Module = getattr(model, "base_model", model)
    return body


def _precedes(name: str, place: int, starts: dict[str, int]) -> bool:
    """Whether a weight is registered before the nearest stack: the one that shares the most of its name."""
    shared = {stack: _shared_parts(name, stack) for stack in starts}
    most = max(shared.values(), default=0)
    return all(place < starts[stack] for stack, parts in shared.items() if parts == most)


def _shared_parts(name: str, other: str) -> int:
    pairs = list(zip(name.split("."), other.split("."), strict=False))
    return next((count for count, (part, of_other) in enumerate(pairs) if part != of_other), len(pairs))
