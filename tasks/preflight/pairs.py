"""Whether an objective and a tuner go together, and whether a model can stand on its parent: from what the kinds
declare.
"""

from collections.abc import Callable, Iterator
from typing import Any

from tasks import kinds, objectives, tuners, vocabulary
from tasks.params import Params


def problems(params: Params, name: str) -> Iterator[str]:
    """One sentence for each thing about the kinds of the model `name` that no training can make good."""
    model = params.models[name]
    objective, tuner = objectives.of(model.train.objective), tuners.of(model.train.tuner)
    if objective.needs_parent and not tuner.keeps_parent:
        yield (
            f"models.{name}.train.objective.kind is {model.train.objective.kind}, which compares with the parent, and "
            f"of that tuner.kind {model.train.tuner.kind} keeps nothing; use {_kinds(lambda kind: kind.keeps_parent)}."
        )
    if objective.packs(model.train.objective) and tuner.virtual_tokens:
        yield (
            f"models.{name}.train.objective packs several examples into a row, and tuner.kind "
            f"{model.train.tuner.kind} puts its own tokens before a row as a whole; use "
            f"{_kinds(lambda kind: not kind.virtual_tokens)}."
        )
    if vocabulary.of(model.train.objective) and not tuner.grows:
        yield (
            f"models.{name}.train.objective.new_tokens adds tokens, and tuner.kind {model.train.tuner.kind} does not "
            f"train the embedding that they need; use {_kinds(lambda kind: kind.grows)}."
        )
    parent = params.models.get(model.parent)
    if parent and not tuners.of(parent.train.tuner).mergeable:
        yield (
            f"models.{name}.parent is {model.parent}, and what its tuner, {parent.train.tuner.kind}, learns cannot be "
            f"merged, so nothing can be built on it; train {model.parent} with "
            f"{_kinds(lambda kind: kind.mergeable)}, or give {name} another parent."
        )


def _kinds(fits: Callable[[Any], bool]) -> str:
    """`full, ia3 or lora`: the tuners that `fits` holds for."""
    *others, last = [name for name in kinds.names("tasks.tuners") if fits(kinds.load("tasks.tuners", name))]
    return f"{', '.join(others)} or {last}" if others else last
