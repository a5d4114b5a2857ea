"""Checks of the rows of params.yaml that are made of others: mixes, and datasets with something added to each row."""

from collections.abc import Iterable, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING

from tasks.dataset.ranked import ranking_of
from tasks.errors import ParamsError
from tasks.section import suggestion
from tasks.stages.bundle import Bundle
from tasks.stages.mix import Mix
from tasks.stages.reward_model import RewardModelRow
from tasks.sweeps import space

if TYPE_CHECKING:
    from tasks.params import Params


def check(params: "Params") -> None:
    """Raise ParamsError for a name used twice, and for a part or a model that does not exist or does not fit."""
    _check_mixes(params)
    _check_cascades(params)
    _check_references(params)
    for name, row in params.rubrics.items():
        _check_name(params, "rubric", name)
        check_data(params, f"rubrics.{name}.dataset", row.dataset, params.built)
    for table in ("reward_models", "bundles"):
        _check_with_model(params, table)
    for name, retest in params.retests.items():
        _check_name(params, "retest", name)
        check_data(params, f"retests.{name}.dataset", retest.dataset, params.built)
        check_data(params, f"retests.{name}.tested_on", retest.tested_on, params.built)
    _check_samples(params)


def check_data(params: "Params", key: str, name: str, more: Iterable[str] = ()) -> None:
    """Raise ParamsError if `name`, the value of `key`, is neither a dataset nor a mix nor one of `more`."""
    known = [*params.datasets, *params.mixes, *more]
    if name in params.cascades and name not in known:
        raise ParamsError(
            f"params.yaml: {key} is '{name}', a cascade, on which only models can build; cascade this row instead."
        )
    if name in params.built and name not in known:
        raise ParamsError(
            f"params.yaml: {key} is '{name}', whose rows say more than those of a dataset; write "
            f"'{params.built[name]}', and build that row on this one."
        )
    if name not in known:
        raise ParamsError(f"params.yaml: {key} is '{name}', which is not a row of datasets{suggestion(name, known)}")


def _check_name(params: "Params", what: str, name: str) -> None:
    tables = (params.datasets, params.models, params.bases, params.mixes, params.cascades, params.rubrics)
    others = (params.reward_models, params.retests, params.samples, params.rankings, params.references, params.bundles)
    if sum(name in table for table in (*tables, *others)) > 1:
        raise ParamsError(f"params.yaml: `{name}` is both a {what} and another row; give one of them another name.")


def _check_samples(params: "Params") -> None:
    for name, row in params.samples.items():
        _check_name(params, "row of samples", name)
        check_data(params, f"samples.{name}.dataset", row.dataset, params.built)
        if row.model not in (known := {**params.bases, **params.models}):
            raise ParamsError(
                f"params.yaml: samples.{name}.model is '{row.model}', which is not a row of bases or "
                f"models{suggestion(row.model, known)}"
            )
    for name, ranking in params.rankings.items():
        _check_name(params, "ranking", name)
        if ranking.samples not in params.samples:
            raise ParamsError(
                f"params.yaml: rankings.{name}.samples is '{ranking.samples}', which is not a row of "
                f"samples{suggestion(ranking.samples, params.samples)}"
            )
    for name, dataset in params.datasets.items():
        ranked = ranking_of(dataset.ingest.source)
        if ranked is not None and ranked not in params.rankings:
            raise ParamsError(
                f"params.yaml: datasets.{name}.ingest.source is '{dataset.ingest.source}', and '{ranked}' is not a row "
                f"of rankings{suggestion(ranked, params.rankings)}"
            )


def _check_mixes(params: "Params") -> None:
    for name, mix in params.mixes.items():
        if name in {*params.datasets, *params.models, *params.bases}:
            raise ParamsError(f"params.yaml: `{name}` is both a mix and another row; give one of them another name.")
        for key, part in (("dataset", mix.dataset), ("other", mix.other)):
            check_data(params, f"mixes.{name}.{key}", part)
        if mix.dataset == mix.other:
            raise ParamsError(f"params.yaml: mixes.{name} mixes {mix.other} into itself; name another dataset.")
    graph = {name: [mix.dataset, mix.other] for name, mix in params.mixes.items()}
    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        ring = " → ".join(error.args[1])
        raise ParamsError(f"params.yaml: these mixes are made of each other in a cycle: {ring}; break it.") from None
    for name, mix in params.mixes.items():
        if mix.shares and (words := _problem_of_shares(params, name, mix)):
            raise ParamsError(f"params.yaml: mixes.{name}.shares {words}")


def _check_cascades(params: "Params") -> None:
    for name, row in params.cascades.items():
        _check_name(params, "cascade", name)
        check_data(params, f"cascades.{name}.dataset", row.dataset)
        if row.model not in params.models:
            raise ParamsError(
                f"params.yaml: cascades.{name}.model is '{row.model}', which is not a row of "
                f"models{suggestion(row.model, params.models)}"
            )
        if row.trained_on != (of_model := params.models[row.model].dataset):
            raise ParamsError(
                f"params.yaml: cascades.{name}.trained_on is '{row.trained_on}', and models.{row.model}.dataset is "
                f"'{of_model}'; write that, or leave it out."
            )


def _check_references(params: "Params") -> None:
    for name, row in params.references.items():
        _check_name(params, "reference", name)
        check_data(params, f"references.{name}.dataset", row.dataset, params.built)
        known = [*params.bases, *params.models]
        if row.model not in known:
            raise ParamsError(
                f"params.yaml: references.{name}.model is '{row.model}', which is not a row of bases or "
                f"models{suggestion(row.model, known)}"
            )


def _check_with_model(params: "Params", table: str) -> None:
    rows: dict[str, RewardModelRow | Bundle] = getattr(params, table)
    for name, row in rows.items():
        _check_name(params, f"row of {table}", name)
        check_data(params, f"{table}.{name}.dataset", row.dataset, params.built)
        if row.model not in params.models:
            raise ParamsError(
                f"params.yaml: {table}.{name}.model is '{row.model}', which is not a row of "
                f"models{suggestion(row.model, params.models)}"
            )


def check_cycles(params: "Params") -> None:
    """Raise ParamsError for a cycle through rows made of others; all other cycles are refused before."""
    graph = {
        **{name: [model.parent, model.dataset] for name, model in params.models.items()},
        **{name: [dataset] for name, dataset in params.built.items()},
        **{name: [row.dataset, row.model] for name, row in params.cascades.items()},
        **{name: [row.dataset, row.model] for name, row in params.reward_models.items()},
        **{name: [row.dataset, row.model] for name, row in params.bundles.items()},
        **{name: [row.dataset, row.tested_on] for name, row in params.retests.items()},
        **{name: [mix.dataset, mix.other] for name, mix in params.mixes.items()},
        **{name: [row.dataset, row.model] for name, row in params.samples.items()},
        **{name: [row.samples] for name, row in params.rankings.items()},
        **{name: [ranking_of(row.ingest.source) or ""] for name, row in params.datasets.items()},
        **{name: [row.dataset, row.model] for name, row in params.references.items()},
    }
    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        ring = " → ".join(reversed(error.args[1]))
        raise ParamsError(
            f"params.yaml: these rows build on each other in a cycle: {ring}; "
            f"{'predict the labels with another classifier' if {*error.args[1]} & {*params.cascades} else 'break it'}."
        ) from None


def check_released(params: "Params", name: str, ancestors: Sequence[str]) -> None:
    """Raise ParamsError if the model `name` is released as one that is not among its `ancestors`, or that is tested
    otherwise: their versions take turns, and gate and canary compare them on the same questions.
    """
    task = params.models[name].released_as
    if task is None:
        return
    key = f"params.yaml: models.{name}.released_as is '{task}'"
    if task not in params.models:
        raise ParamsError(f"{key}, which is not a row of models{suggestion(task, params.models)}")
    if params.models[task].released_as:
        raise ParamsError(f"{key}, which is released as {params.models[task].released_as} itself; write that.")
    if task not in ancestors:
        raise ParamsError(f"{key}, which it does not build on; make {task} its parent.")
    ours, theirs = ((params.main_dataset(row), params.labeller(row)) for row in (name, task))
    if ours != theirs:
        raise ParamsError(
            f"{key}, which is tested on other rows; give it a row of retests as its dataset, with `tested_on: "
            f"{params.models[task].dataset}`."
        )


def _problem_of_shares(params: "Params", name: str, mix: Mix) -> str:
    """Return why `shares` do not fit the parts of a mix, as the words after its key; empty if they do."""
    below = _mixes_below(params, name)
    sides = [side for row in (name, *below) for side in (params.mixes[row].dataset, params.mixes[row].other)]
    parts = [side for side in sides if side not in params.mixes]
    for part in mix.shares:
        if part not in parts:
            return f"names `{part}`, which is not one of the datasets that it is made of{suggestion(part, parts)}"
    if missing := [part for part in parts if part not in mix.shares]:
        return f"leaves out {missing[0]}, which is part of the mix; give it a share, or remove it from the mix."
    if twice := [part for part in parts if parts.count(part) > 1]:
        return f"says how much {twice[0]} counts, which is included twice; remove it from one of its mixes."
    if inner := [side for side in below if not params.mixes[side].is_whole]:
        return f"says how much each dataset counts, and so does mixes.{inner[0]}; give that one `share: all`."
    return ""


def _mixes_below(params: "Params", name: str) -> list[str]:
    """Return the mixes that the mix `name` is made of, directly or through others."""
    sides = [side for side in (params.mixes[name].dataset, params.mixes[name].other) if side in params.mixes]
    return [below for side in sides for below in (side, *_mixes_below(params, side))]


def check_sweeps(params: "Params") -> None:
    """Raise ParamsError for a sweep of no model, and for a setting that the model's training does not take."""
    for name, sweep in params.sweeps.items():
        if name not in params.models:
            raise ParamsError(
                f"params.yaml: sweeps.{name} has the name of no row of models{suggestion(name, params.models)}"
            )
        for problem in space.problems(name, sweep, params.models[name].train):
            raise ParamsError(f"params.yaml: {problem}")
