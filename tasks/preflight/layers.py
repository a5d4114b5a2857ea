"""Checks that the tuner can tune the base, from the base's config alone."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from tasks import objectives, tuners
from tasks.params import Params, lineage
from tasks.preflight.serving import config_folder
from tasks.weights import layer_groups

if TYPE_CHECKING:
    from torch import nn


def problems(params: Params, name: str) -> Iterator[str]:
    """Yield a sentence if the model's tuner does not fit the layers of its base; none while the base is missing (train
    checks again).
    """
    settings = params.models[name].train.tuner
    model = _base(params, name)
    if model is not None and (words := tuners.of(settings).problem(settings, model)):
        yield f"models.{name}.train.tuner.{words}"


def remarks(params: Params, name: str) -> Iterator[str]:
    """Yield a line if layers stay frozen because the run ends before their turn."""
    train = params.models[name].train
    if not isinstance(train.tuner, layer_groups.Layered) or not train.tuner.gradual_unfreezing:
        return
    model = _base(params, name)
    if model is None:
        return
    if objectives.of(train.objective).head in ("lm", "seq2seq"):
        starts = [group.first_epoch for group in layer_groups.groups(train.tuner, model)]
    else:  # the base has no head yet, which learns first
        starts = list(range(1 + max(layer_groups.stacks(model).values(), default=0) + 1))
    late = sum(start >= train.num_train_epochs for start in starts)
    if late:
        yield (
            f"models.{name}.train.num_train_epochs is {train.num_train_epochs:g}, and with tuner.gradual_unfreezing "
            f"the lowest layers begin to learn in epoch {starts[-1] + 1}: the lowest {late} of {len(starts)} groups "
            "of weights stay the parent's"
        )


def _base(params: Params, name: str) -> "nn.Module | None":
    """Return the base of the model `name`, without weights; None if it is missing or cannot be read."""
    base = lineage(params, name)[-1]
    folder = config_folder(base, params.bases[base])
    if folder is None:
        return None
    from tasks.weights.targets import without_weights

    try:
        return without_weights(folder)
    except (OSError, ValueError, KeyError):  # an architecture unknown to transformers, which the stage `base` reports
        return None
