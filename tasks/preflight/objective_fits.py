"""Checks that an objective can learn from the rows of a dataset."""

from collections.abc import Iterator, Sequence

from tasks import kinds, objectives
from tasks.params import Params
from tasks.preflight import heads
from tasks.section import Section
from tasks.stages.prepare import shapes

SAME_COLUMNS = {"preference", "choice"}  # shapes of one source
INTERCHANGEABLE = {"chat", "text"}  # in a mix, an objective for one also takes the other


def problems(params: Params, name: str) -> Iterator[str]:
    """Yield a sentence for each dataset of the model `name` whose rows its objective does not accept."""
    model = params.models[name]
    main = params.learnt(model.dataset)[0]
    objective, eats = model.train.objective, objectives.of(model.train.objective).eats
    for dataset in params.learnt(model.dataset):
        prepare = params.datasets[dataset].prepare
        makes = shapes.of(prepare).makes
        if makes in eats or (dataset != main and makes in INTERCHANGEABLE and eats & INTERCHANGEABLE):
            continue
        if eats & {"labelled", "scored"} and (advice := heads.rewrite_advice(params, name)):
            yield (
                f"models.{name}.train.objective.kind is {objective.kind}, and the rows of datasets.{dataset} are a "
                f"table; {advice}."
            )
            continue
        others = [kind for kind in kinds.names(objectives.__name__) if makes in _eats(kind) and not _needs_reward(kind)]
        fitting = [kind for kind in kinds.names(shapes.__name__) if kinds.load(shapes.__name__, kind).makes in eats]
        remedy = f"use an objective that does ({', '.join(others)}), or give" if others else "no objective does; give"
        yield (
            f"models.{name}.train.objective.kind is {objective.kind}, which does not learn from rows of the shape "
            f"{shapes.name_of(prepare)} (datasets.{dataset}); {remedy} it a dataset of the shape "
            f"{' or '.join(fitting)}{_alike(prepare, fitting)}."
        )


def _alike(prepare: Section, fitting: Sequence[str]) -> str:
    """Say that the rows fit as they are, if only their shape has to be written otherwise."""
    return ", whose columns are the same" if {shapes.name_of(prepare), *fitting} == SAME_COLUMNS else ""


def _needs_reward(kind: str) -> bool:
    """Return whether the objective learns from a reward, which rows alone do not give."""
    return bool(getattr(kinds.load(objectives.__name__, kind), "online", ""))


def _eats(kind: str) -> frozenset[str]:
    eats: frozenset[str] = kinds.load(objectives.__name__, kind).eats
    return eats
