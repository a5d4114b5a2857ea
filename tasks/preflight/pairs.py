"""Checks that an objective and a tuner fit each other, and that a model can be built on its parent, by what the kinds
declare.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

from tasks import kinds, objectives, tuners
from tasks.files import read_json
from tasks.models import architecture, vocabulary
from tasks.models.architecture import BASES, IS, OVERFLOWS, Architecture
from tasks.params import Params, lineage
from tasks.preflight import bundles, heads
from tasks.preflight.serving import config_folder
from tasks.section import Section
from tasks.stages.train import dropout
from tasks.stages.train.params import Train


def problems(params: Params, name: str) -> Iterator[str]:
    """Yield a sentence for each incompatibility of the kinds of the model `name`."""
    model = params.models[name]
    objective, tuner = objectives.of(model.train.objective), tuners.of(model.train.tuner)
    if words := bundles.without_adapters(params, name):
        yield f"{words}; use lora."
        yield from _problems_of_new_tokens(name, model.train, tuner)
        return
    yield from bundles.problems(params, name)
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
    yield from _problems_of_new_tokens(name, model.train, tuner)
    if getattr(tuner, "only_head", False) and objective.head in objectives.WRITES:
        yield (
            f"models.{name}.train.tuner.kind is {model.train.tuner.kind}, with which only a head learns, and "
            f"objective.kind {model.train.objective.kind} writes with the parent's own; use "
            f"{_kinds(lambda kind: not kind.virtual_tokens and (kind.keeps_parent or not objective.needs_parent))}."
        )
    if tuner.virtual_tokens and objective.head not in cast(tuners.VirtualTokens, tuner).heads:
        reads = "reads a text as a whole" if objective.head not in objectives.WRITES else "has an encoder read a text"
        reads = "sees an image" if "image" in objective.eats else reads
        yield (
            f"models.{name}.train.objective.kind is {model.train.objective.kind}, which {reads}, and tuner.kind "
            f"{model.train.tuner.kind} puts its own tokens before it, for models that write; use "
            f"{_kinds(lambda kind: not kind.virtual_tokens or objective.head in kind.heads)}."
        )
    yield from _problems_of_parent(params, name, model.parent)


def _problems_of_parent(params: Params, name: str, parent_name: str) -> Iterator[str]:
    """Yield a sentence if nothing can be built on the parent of the model `name`."""
    parent = params.models.get(parent_name)
    if parent and not tuners.of(parent.train.tuner).mergeable:
        yield (
            f"models.{name}.parent is {parent_name}, and what its tuner, {parent.train.tuner.kind}, learns cannot be "
            f"merged, so nothing can be built on it; train {parent_name} with "
            f"{_kinds(lambda kind: kind.mergeable)}, or give {name} another parent."
        )


def _problems_of_new_tokens(name: str, train: Train, tuner: tuners.Tuner) -> Iterator[str]:
    """Yield a sentence if the rows of the embedding for new tokens would not be trained."""
    if not vocabulary.of(train.objective):
        return
    if not tuner.grows:
        yield (
            f"models.{name}.train.objective.new_tokens adds tokens, and tuner.kind {train.tuner.kind} does not "
            f"train the embedding that they need; use {_kinds(lambda kind: kind.grows)}."
        )
    if getattr(train.tuner, "gradual_unfreezing", False):
        yield (
            f"models.{name}.train.objective.new_tokens adds rows to the embedding, which tuner.gradual_unfreezing "
            "leaves frozen longest; remove one of the two."
        )


def problems_of_base(params: Params, name: str) -> Iterator[str]:
    """Yield a sentence if the base of the model `name` is not of the kind that its objective trains; none while the
    base's config is missing (training checks again).
    """
    train, base = params.models[name].train, lineage(params, name)[-1]
    objective, folder = train.objective, config_folder(base, params.bases[base])
    if folder and train.fp16 and (kind := read_json(folder / "config.json").get("model_type")) in OVERFLOWS:
        yield f"models.{name}.train.fp16 is true, and {base} is a {kind}, which overflows in float16; leave it out."
    if folder and (words := _of_dropout(train.dropout, folder)):
        yield f"models.{name}.train.{words}"
    if folder is None or architecture.of_folder(folder) in objectives.of(objective).architectures:
        return
    actual, needed = architecture.of_folder(folder), objectives.of(objective).architectures
    advice = heads.rewrite_advice(params, name) if actual == "encoder" else None
    suitable = " or ".join(BASES[kind] for kind in BASES if kind in needed)
    yield (
        f"models.{name}.train.objective.kind is {objective.kind}, and {base} {IS[actual]} (its config.json says so); "
        f"{advice or f'use {_objectives(objective, actual)}'}, or use a base that {suitable}."
    )


def _of_dropout(share: float | None, folder: Path) -> str | None:
    """Return why the base cannot drop `share`; None if it can, or if transformers does not know its type, which the
    stage `base` refuses.
    """
    try:
        return dropout.problem(share, folder)
    except (OSError, ValueError, KeyError):
        return None


def _objectives(objective: Section, base: Architecture) -> str:
    """Return the objectives for a base of that architecture, those for the same rows if there are any."""
    modules = {kind: kinds.load(objectives.__name__, kind) for kind in kinds.names(objectives.__name__)}
    fitting = [kind for kind, module in modules.items() if base in module.architectures]
    alike = [kind for kind in fitting if modules[kind].eats & objectives.of(objective).eats]
    at_once = [kind for kind in alike if not getattr(modules[kind], "online", "")]  # without a reward beside the rows
    return " or ".join(at_once or alike or fitting)


def _kinds(fits: Callable[[Any], bool]) -> str:
    """Return the tuners for which `fits` is true: `full, ia3 or lora`."""
    known = {name: kinds.load("tasks.tuners", name) for name in kinds.names("tasks.tuners")}
    special = ("only_head", "of_models")  # for some objectives, or datasets, only
    fitting = [name for name, kind in known.items() if fits(kind) and not any(hasattr(kind, key) for key in special)]
    *others, last = fitting
    return f"{', '.join(others)} or {last}" if others else last
