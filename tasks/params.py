"""The typed view of all of params.yaml, checked once before any work."""

from collections.abc import Iterable
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Annotated

from pydantic import Field

from tasks import sources, stage
from tasks.errors import ParamsError
from tasks.kinds import KindIn
from tasks.monitor.params import Monitor
from tasks.retrain.params import Retrain
from tasks.section import Section, parse, suggestion
from tasks.serve.params import Deploy, Gateway, Records, Release, Servers
from tasks.stages.base import Base
from tasks.stages.cascade import Cascade
from tasks.stages.evaluate.params import Evaluate
from tasks.stages.ingest.params import Ingest
from tasks.stages.mix import Mix
from tasks.stages.package import Package
from tasks.stages.predict.params import Predict
from tasks.stages.prepare import shapes
from tasks.stages.prepare.rows import Templates
from tasks.stages.probe import Probe
from tasks.stages.train.params import Train
from tasks.stages.validate import Validate
from tasks.steps.gate import Gate

Name = Annotated[
    str, Field(pattern=r"^[a-z][a-z0-9_-]*$", max_length=100, description="lower-case letters, digits, _ and -")
]


class Dataset(Section):
    """A row of `datasets`."""

    snapshot: Annotated[Section, KindIn(sources.PACKAGE)] | None = None
    ingest: Ingest
    validate_: Validate = Field(alias="validate")
    prepare: Annotated[Section, KindIn("tasks.stages.prepare.shapes", "shape")]

    @property
    def templates(self) -> Templates:
        """The templates that make a prompt and an answer from a row's columns."""
        templates: Templates = shapes.of(self.prepare).templates(self.prepare)
        return templates


class Model(Section):
    """A row of `models`: a parent (a base or another model), a dataset, and a section per stage."""

    parent: str
    dataset: str
    train: Train
    predict: Predict
    probe: Probe = Probe()
    evaluate: Evaluate
    package: Package
    gate: Gate


class Params(Section):
    """params.yaml."""

    bases: dict[Name, Base]
    datasets: dict[Name, Dataset]
    mixes: dict[Name, Mix] = Field(default={})
    cascades: dict[Name, Cascade] = Field(default={})
    models: dict[Name, Model]
    deploy: Deploy = Deploy()
    gateway: Gateway = Gateway()
    records: Records = Records()
    release: Release = Release()
    monitor: Monitor = Monitor()
    retrain: Retrain = Retrain()
    servers: Servers = Servers()

    def sources(self, data: str) -> list[str]:
        """Return the rows of `datasets` that `data` (one of them, a mix or a cascade) is made of; the rows of the first
        one are held out.
        """
        if data in self.cascades:
            return self.sources(self.cascades[data].dataset)
        if data not in self.mixes:
            return [data]
        mix = self.mixes[data]
        return list(dict.fromkeys([*self.sources(mix.dataset), *self.sources(mix.other)]))

    def main_dataset(self, model: str) -> str:
        """Return the row of `datasets` that `model` is measured on and takes its templates from."""
        return self.sources(self.models[model].dataset)[0]

    def labeller(self, model: str) -> str | None:
        """Return the row of `models` that predicts the beginning of the answers of `model`; None if none does."""
        cascade = self.cascades.get(self.models[model].dataset)
        return cascade.model if cascade else None


def load(path: Path = Path("params.yaml"), text: str | None = None) -> Params:
    """Return params.yaml (or `text`, its future content), typed and checked; ParamsError for the first mistake."""
    params = parse(Params, stage.parse_yaml(text, path) if text else stage.load_yaml(path), "")
    check_rows(params)
    return params


def check_rows(params: Params) -> None:
    """Raise ParamsError for a name used twice, a parent or dataset that does not exist, or a cycle of rows that
    build on each other.
    """
    for name in params.models.keys() & params.bases.keys():
        raise ParamsError(f"params.yaml: `{name}` is both a base and a model; give one of them another name.")
    for name in params.datasets.keys() & (params.models.keys() | params.bases.keys()):
        raise ParamsError(
            f"params.yaml: `{name}` is both a dataset and a model or base; give one of them another name."
        )
    _check_mixes(params)
    _check_cascades(params)
    for name, model in params.models.items():
        parents = [*params.bases, *(other for other in params.models if other != name)]
        if model.parent not in parents and model.parent != name:
            raise ParamsError(
                f"params.yaml: models.{name}.parent is '{model.parent}', which is not a row of bases or "
                f"models{suggestion(model.parent, parents)}"
            )
        _check_data(params, f"models.{name}.dataset", model.dataset, params.cascades)
        chain = lineage(params, name)
        if chain[-1] in params.models:
            raise ParamsError(
                f"params.yaml: these models build on each other in a cycle: {' → '.join(chain)}; give one of them a "
                "base as parent."
            )
    _check_cycles(params)


def _check_data(params: Params, key: str, name: str, cascades: Iterable[str] = ()) -> None:
    known = [*params.datasets, *params.mixes, *cascades]
    if name in params.cascades and name not in known:
        raise ParamsError(
            f"params.yaml: {key} is '{name}', a cascade, on which only models can build; cascade this row instead."
        )
    if name not in known:
        raise ParamsError(f"params.yaml: {key} is '{name}', which is not a row of datasets{suggestion(name, known)}")


def _check_mixes(params: Params) -> None:
    for name, mix in params.mixes.items():
        if name in {*params.datasets, *params.models, *params.bases}:
            raise ParamsError(f"params.yaml: `{name}` is both a mix and another row; give one of them another name.")
        for key, part in (("dataset", mix.dataset), ("other", mix.other)):
            _check_data(params, f"mixes.{name}.{key}", part)
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


def _check_cascades(params: Params) -> None:
    for name, row in params.cascades.items():
        if name in {*params.datasets, *params.mixes, *params.models, *params.bases}:
            raise ParamsError(
                f"params.yaml: `{name}` is both a cascade and another row; give one of them another name."
            )
        _check_data(params, f"cascades.{name}.dataset", row.dataset)
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


def _check_cycles(params: Params) -> None:
    """Raise ParamsError for a cycle through a cascade; all others are refused before."""
    graph = {
        **{name: [model.parent, model.dataset] for name, model in params.models.items()},
        **{name: [row.dataset, row.model] for name, row in params.cascades.items()},
    }
    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        ring = " → ".join(reversed(error.args[1]))
        raise ParamsError(
            f"params.yaml: these rows build on each other in a cycle: {ring}; predict the labels with another "
            "classifier."
        ) from None


def _problem_of_shares(params: Params, name: str, mix: Mix) -> str:
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


def _mixes_below(params: Params, name: str) -> list[str]:
    """Return the mixes that the mix `name` is made of, directly or through others."""
    sides = [side for side in (params.mixes[name].dataset, params.mixes[name].other) if side in params.mixes]
    return [below for side in sides for below in (side, *_mixes_below(params, side))]


def lineage(params: Params, name: str) -> list[str]:
    """Return `name`, its parent, its parent's parent … down to a base, or to the first repeated name."""
    names = [name]
    while names[-1] in params.models and names[-1] not in names[:-1]:
        names.append(params.models[names[-1]].parent)
    return names


def needed(params: Params, models: Iterable[str]) -> list[str]:
    """Return `models` and those needed first: their parents, and the models that predict the beginning of their
    answers; each after those it needs.
    """
    rows = dict[str, None]()
    for name in models:
        for row in reversed(lineage(params, name)[:-1]):  # the last one is a base
            labeller = params.labeller(row)
            rows |= dict.fromkeys([*(needed(params, [labeller]) if labeller else []), row])
    return list(rows)


def model_of(params: Params, name: str) -> Model:
    """Return the row `name` of models; ParamsError if there is none."""
    if name not in params.models:
        raise ParamsError(f"MODEL={name}: params.yaml has no such model{suggestion(name, params.models)}")
    return params.models[name]
