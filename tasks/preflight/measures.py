"""Checks that labels, texts, weights and the gate's keys name existing columns and measures."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from tasks.errors import AnnealError, listed
from tasks.formats import answer
from tasks.formats.numbers import number
from tasks.params import Model, Params
from tasks.preflight import sources
from tasks.section import suggestion
from tasks.stages.evaluate import measures
from tasks.stages.evaluate.measures.measure import Measure, named, slug
from tasks.stages.prepare import shapes


def problems(params: Params, name: str) -> Iterator[str]:
    """Yield a sentence for each label, text, minimum or compared measure of the model `name` that its answers do not
    have.
    """
    model, dataset = params.models[name], params.main_dataset(name)
    columns = answer.format_of(params.datasets[dataset].templates["answer"]).columns
    evaluate = model.evaluate
    kinds = {
        "labels": evaluate.labels,
        "texts": evaluate.texts or [],
        "numbers": evaluate.numbers,
        "tags": evaluate.tags,
        "declines.column": [evaluate.declines.column] if evaluate.declines and evaluate.declines.column else [],
        "stated.column": [evaluate.stated.column] if evaluate.stated else [],
        "stated.about": evaluate.stated.about if evaluate.stated else [],
    }
    for kind, names in kinds.items():
        key = f"models.{name}.evaluate.{kind}"
        for column in names:
            if column not in columns:
                where = f"datasets.{dataset}.prepare.answer"
                yield f"{key} names `{column}`, which {where} does not hold{suggestion(column, columns)}"
        yield from _clashes(key, names)
    yield from _words_for_numbers(params, name, dataset)
    yield from _weights(params, name, dataset)
    table, gate = _table(params, name), model.gate
    for key, names in (("minimum", [*gate.minimum]), ("compare_on", [gate.compare_on] if gate.compare_on else [])):
        for measure in names:
            if measure not in table:
                yield f"models.{name}.gate.{key} names `{measure}`, which is not measured{suggestion(measure, table)}"
    for measure, bound in gate.minimum.items():
        if measure in table and not table[measure].bounds[0] <= bound <= table[measure].bounds[1]:
            yield (
                f"models.{name}.gate.minimum.{measure} is {bound:g}, and {measure} is {_range(table[measure].bounds)}."
            )


def _words_for_numbers(params: Params, name: str, dataset: str) -> Iterator[str]:
    """Yield a sentence for each column of numbers that holds none in the first rows of the source."""
    if not (columns := params.models[name].evaluate.numbers):
        return
    rows = sources.first_rows(params.datasets[dataset].ingest)
    for column in columns:
        values = [row[column] for row in rows if column in row]
        if values and not any(number(value) is not None for value in values):
            yield (
                f"models.{name}.evaluate.numbers names `{column}`, which holds no numbers (the first row has "
                f"{values[0][:40]!r}); leave it out, or name it as one of evaluate.labels or evaluate.texts."
            )


def _weights(params: Params, name: str, dataset: str) -> Iterator[str]:
    """Yield a sentence for each column that the objective weights and the JSON answers do not have."""
    form = answer.format_of(params.datasets[dataset].templates["answer"])
    for column in getattr(params.models[name].train.objective, "weights", {}):
        key = f"models.{name}.train.objective.weights names `{column}`"
        if not form.is_json:
            yield f"{key}, and the answers of {dataset} are not JSON: only columns of JSON are weighed; leave it out."
        elif column not in form.columns:
            yield f"{key}, which datasets.{dataset}.prepare.answer does not hold{suggestion(column, form.columns)}"


def problems_of_quality(params: Params) -> Iterator[str]:
    """Yield a sentence for each key of retrain.min_quality that the monitor measures for no model."""
    followed = {measure for name, model in params.models.items() for measure in _followed(model, _table(params, name))}
    for name in params.retrain.min_quality:
        if name not in followed:
            yield (
                f"retrain.min_quality names `{name}`, which the monitor measures for no "
                f"model{suggestion(name, followed)}"
            )


def _followed(model: Model, table: Mapping[str, Measure]) -> set[str]:
    """Return the measures that the monitor computes for a model."""
    return {"valid", "exact_match", *(named(label, "accuracy") for label in model.evaluate.labels)} & table.keys()


def _table(params: Params, name: str) -> dict[str, Measure]:
    """Return the measures of the model `name`; none if its answer's template does not parse, which `columns`
    reports.
    """
    try:
        dataset = params.datasets[params.main_dataset(name)]
        may_call = shapes.name_of(dataset.prepare) == "chat"  # whether it does, only its rows say
        form = answer.format_of(dataset.templates["answer"], may_call)
        return measures.of(params.models[name].evaluate, form, shapes.of(dataset.prepare).makes)
    except AnnealError:
        return {}


def _range(bounds: tuple[float, float]) -> str:
    low, high = bounds
    return f"{low:g} or more" if high == math.inf else f"between {low:g} and {high:g}"


def _clashes(key: str, columns: Sequence[str]) -> Iterator[str]:
    """Yield a sentence for each column whose measures would have an empty name, or the name of another's, in MLflow."""
    for column in columns:
        if not slug(column):
            yield f"{key} names `{column}`, which has no letter or digit to name a measure with; rename the column."
    for name, count in Counter(map(slug, columns)).items():
        if name and count > 1:
            same = listed(column for column in columns if slug(column) == name)
            yield (
                f"{key} names {same}, whose measures would all be called `{name}_…`; name one of them, or rename a "
                "column."
            )
