"""Checks of models that are made of what other models learnt: that their dataset brings it, and that it fits."""

from collections.abc import Iterator

from tasks import objectives, tuners
from tasks.models import vocabulary
from tasks.params import Params
from tasks.preflight.cascades import SPLIT_KEYS
from tasks.section import Section
from tasks.tuners import OfModels


def without_adapters(params: Params, name: str) -> str | None:
    """Return why the model `name` has nothing to be made of; None if it is not made of others, or has enough."""
    model = params.models[name]
    kind, brought = tuners.of_models(model.train.tuner), params.bundled_for(name)
    if kind is None or len(brought) >= kind.least:
        return None
    count = f"only that of {brought[0]}" if brought else "none"
    return (
        f"models.{name}.train.tuner.kind is {model.train.tuner.kind}, which is for adapters that other models learnt, "
        f"and {model.dataset} brings {count} (a row of bundles is a dataset that brings one more)"
    )


def problems(params: Params, name: str) -> Iterator[str]:
    """Yield a sentence for each adapter that the dataset of the model `name` brings and the model cannot be made of."""
    model, brought = params.models[name], params.bundled_for(name)
    kind = tuners.of_models(model.train.tuner)
    if kind is None:
        if brought:
            yield (
                f"models.{name}.dataset is {model.dataset}, which brings the adapter of {brought[-1]}, and tuner.kind "
                f"{model.train.tuner.kind} begins with none; use combined, fusion or stack, or the dataset without it."
            )
        return
    if twice := [other for other in brought if brought.count(other) > 1]:
        yield f"models.{name}.dataset is {model.dataset}, which brings the adapter of {twice[0]} twice; remove one."
        return
    unfit = [words for other in brought if (words := _unfit(params, name, other, kind))]
    yield from unfit
    if not unfit and (words := kind.problem_of_parts(model.train.tuner, _settings(params, brought))):
        yield f"models.{name}.train.tuner.{words}"


def _settings(params: Params, models: list[str]) -> dict[str, Section]:
    return {name: params.models[name].train.tuner for name in models}


def _split_of(params: Params, name: str) -> tuple[str, ...]:
    """Return the source of the rows that the model `name` is tested on, and what decides which these are."""
    dataset = params.datasets[params.main_dataset(name)]
    return dataset.ingest.source, *(str(getattr(dataset.prepare, key, None)) for key in SPLIT_KEYS)


def _unfit(params: Params, name: str, other: str, kind: OfModels) -> str | None:
    """Return why the model `name` cannot be made of what `other` learnt."""
    model, part = params.models[name], params.models[other]
    tuner = part.train.tuner.kind
    if tuner not in kind.parts:
        return (
            f"models.{name}.train.tuner.kind is {model.train.tuner.kind}, which is for adapters of "
            f"{' or '.join(sorted(kind.parts))}, and {other} learns with {tuner}; train that otherwise, or remove it."
        )
    if part.parent != model.parent:
        return (
            f"models.{name}.parent is {model.parent}, and {other}, whose adapter it is made of, is trained on "
            f"{part.parent}: adapters fit the weights that they were trained on only; give both one parent."
        )
    if vocabulary.of(part.train.objective) != vocabulary.of(model.train.objective):
        return f"models.{name} and {other}, whose adapter it is made of, have different new_tokens; remove them."
    if (split := _split_of(params, name)) != (others := _split_of(params, other)) and split[0] == others[0]:
        return (
            f"models.{other}, whose adapter {name} is made of, learns from the same source, split otherwise, so it may "
            f"have learnt rows that {name} is tested on; write the same {', '.join(SPLIT_KEYS)} for both datasets."
        )
    objective = model.train.objective
    for row, train in ((name, model.train), (other, part.train)):
        if kind.only_writers and objectives.of(train.objective).head not in objectives.WRITES:
            return (
                f"models.{row}.train.objective.kind is {train.objective.kind}, whose head learns, too, and tuner.kind "
                f"{model.train.tuner.kind} makes one adapter of several but no head; use models that write."
            )
    writes, theirs = (objectives.of(train.objective).head in objectives.WRITES for train in (model.train, part.train))
    if writes != theirs:
        return (
            f"models.{name}.train.objective.kind is {objective.kind}, and that of {other}, which it is made of, is "
            f"{part.train.objective.kind}: one writes and one reads; use two that do the same."
        )
    if kind.only_writers and objectives.online(objective):
        return (
            f"models.{name}.train.objective.kind is {objective.kind}, which is learnt from answers, and tuner.kind "
            f"{model.train.tuner.kind} learns nothing; write sft."
        )
    return None
