"""The typed view of all of params.yaml, checked once before any work."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

from pydantic import Field

from tasks import derived, sources, stage
from tasks.dataset.ranked import ranking_of
from tasks.errors import ParamsError
from tasks.kinds import KindIn
from tasks.monitor.params import Monitor
from tasks.rankings import Ranking
from tasks.retrain.params import Retrain
from tasks.section import Section, parse, suggestion
from tasks.serve.params import Deploy, Gateway, Records, Release, Servers
from tasks.stages.base import Base
from tasks.stages.bundle import Bundle
from tasks.stages.cascade import Cascade
from tasks.stages.evaluate.params import Evaluate
from tasks.stages.ingest.params import Ingest
from tasks.stages.mix import Mix
from tasks.stages.package import Package
from tasks.stages.predict.params import Predict
from tasks.stages.prepare import shapes
from tasks.stages.prepare.rows import Templates
from tasks.stages.probe import Probe
from tasks.stages.reference import Reference
from tasks.stages.retest import Retest
from tasks.stages.reward_model import RewardModelRow
from tasks.stages.rubric import RubricRow
from tasks.stages.sample import Sample
from tasks.stages.train.params import Train
from tasks.stages.validate import Validate
from tasks.steps.gate import Gate
from tasks.sweeps.params import Sweep

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
    released_as: Name | None = Field(
        default=None,
        description="row of models that it builds on, and as whose versions it is registered, compared, served and "
        "retrained; by default itself",
    )
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
    rubrics: dict[Name, RubricRow] = Field(default={})
    reward_models: dict[Name, RewardModelRow] = Field(default={})
    samples: dict[Name, Sample] = Field(default={})
    rankings: dict[Name, Annotated[Ranking, KindIn("tasks.rankings")]] = Field(default={})
    retests: dict[Name, Retest] = Field(default={})
    references: dict[Name, Reference] = Field(default={})
    bundles: dict[Name, Bundle] = Field(default={})
    models: dict[Name, Model]
    sweeps: dict[Name, Sweep] = Field(default={})
    deploy: Deploy = Deploy()
    gateway: Gateway = Gateway()
    records: Records = Records()
    release: Release = Release()
    monitor: Monitor = Monitor()
    retrain: Retrain = Retrain()
    servers: Servers = Servers()

    @property
    def built(self) -> dict[str, str]:
        """{row: the dataset whose rows it adds something to, or whose test rows it has}: of every table but `mixes`."""
        tables = (self.cascades, self.rubrics, self.reward_models, self.references, self.bundles)
        of_dataset = {name: row.dataset for table in tables for name, row in table.items()}
        return of_dataset | {name: row.tested_on for name, row in self.retests.items()}

    def sources(self, data: str) -> list[str]:
        """Return the rows of `datasets` that `data` (one of them, or made of them) is made of; the rows of the first
        one are held out.
        """
        if data in self.built:
            learnt = self.sources(self.retests[data].dataset) if data in self.retests else []
            return list(dict.fromkeys([*self.sources(self.built[data]), *learnt]))
        if data not in self.mixes:
            return [data]
        mix = self.mixes[data]
        return list(dict.fromkeys([*self.sources(mix.dataset), *self.sources(mix.other)]))

    def learnt(self, data: str) -> list[str]:
        """Return those of the `sources` of `data` whose rows are trained on."""
        if data in self.retests:
            return self.learnt(self.retests[data].dataset)
        return self.learnt(self.built[data]) if data in self.built else self.sources(data)

    def main_dataset(self, model: str) -> str:
        """Return the row of `datasets` that `model` is measured on and takes its templates from."""
        return self.sources(self.models[model].dataset)[0]

    def task(self, model: str) -> str:
        """Return the name under which versions of `model` are registered and served."""
        return self.models[model].released_as or model

    def predicted_columns(self, model: str) -> tuple[str, ...]:
        """Return the columns of the answers of `model` that its labeller predicts."""
        labeller = self.labeller(model)
        prepare = self.datasets[self.main_dataset(labeller)].prepare if labeller else None
        return tuple(getattr(prepare, "labels", ()))

    def labeller(self, model: str) -> str | None:
        """Return the row of `models` that predicts the beginning of the answers of `model`; None if none does."""
        return next((self.cascades[name].model for name in self.chain(model) if name in self.cascades), None)

    def samples_of(self, data: str) -> list[str]:
        """Return the rows of `samples` whose answers are ranked in a dataset that `data` is made of."""
        sources = [self.datasets[name].ingest.source for name in self.sources(data)]
        ranked = [self.rankings[name].samples for source in sources if (name := ranking_of(source))]
        return list(dict.fromkeys(ranked))

    def references_of(self, model: str) -> list[str]:
        """Return the rows of `references` that say what answers to the rows of `model` are compared with."""
        names = [self.models[model].dataset]
        learnt = {**self.built, **{name: row.dataset for name, row in self.retests.items()}}
        while names[-1] in learnt and names[-1] not in names[:-1]:
            names.append(learnt[names[-1]])
        return [name for name in names if name in self.references]

    def compared_with(self, model: str) -> list[str]:
        """Return the models and bases that answers to the rows of `model` are compared with."""
        return [self.references[name].model for name in self.references_of(model)]

    def rewarded_by(self, model: str) -> list[str]:
        """Return the models that reward answers to the rows of `model`."""
        return [self.reward_models[name].model for name in self.chain(model) if name in self.reward_models]

    def bundled_for(self, model: str) -> list[str]:
        """Return the models whose adapters the dataset of `model` brings, in the order in which they are added."""
        return [self.bundles[name].model for name in reversed(self.chain(model)) if name in self.bundles]

    def chain(self, model: str) -> list[str]:
        """Return the dataset of `model`, the one that this adds something to, … down to a dataset or a mix."""
        return self.below(self.models[model].dataset)

    def below(self, data: str) -> list[str]:
        """Return `data`, the one that it adds something to, … down to a dataset or a mix."""
        names = [data]
        while names[-1] in self.built and names[-1] not in names[:-1]:
            names.append(self.built[names[-1]])
        return names


def load(path: Path = Path("params.yaml"), text: str | None = None) -> Params:
    """Return params.yaml (or `text`, its future content), typed and checked; ParamsError for the first mistake."""
    params = parse(Params, stage.parse_yaml(text, path) if text else stage.load_yaml(path), "")
    check_rows(params)
    return params


def check_rows(params: Params) -> None:
    """Raise ParamsError for a name used twice, a row that does not exist, or a cycle of rows that build on others."""
    for name in params.models.keys() & params.bases.keys():
        raise ParamsError(f"params.yaml: `{name}` is both a base and a model; give one of them another name.")
    for name in params.datasets.keys() & (params.models.keys() | params.bases.keys()):
        raise ParamsError(f"params.yaml: `{name}` is both a dataset and a model or base; rename one of them.")
    derived.check(params)
    for name, model in params.models.items():
        parents = [*params.bases, *(other for other in params.models if other != name)]
        if model.parent not in parents and model.parent != name:
            raise ParamsError(
                f"params.yaml: models.{name}.parent is '{model.parent}', which is not a row of bases or "
                f"models{suggestion(model.parent, parents)}"
            )
        derived.check_data(params, f"models.{name}.dataset", model.dataset, params.built)
        chain = lineage(params, name)
        if chain[-1] in params.models:
            raise ParamsError(
                f"params.yaml: these models build on each other in a cycle: {' → '.join(chain)}; give one of them a "
                "base as parent."
            )
    derived.check_cycles(params)
    for name in params.models:
        derived.check_released(params, name, lineage(params, name)[1:])
    derived.check_sweeps(params)


def lineage(params: Params, name: str) -> list[str]:
    """Return `name`, its parent, its parent's parent … down to a base, or to the first repeated name."""
    names = [name]
    while names[-1] in params.models and names[-1] not in names[:-1]:
        names.append(params.models[names[-1]].parent)
    return names


def needed(params: Params, models: Iterable[str]) -> list[str]:
    """Return `models` and those needed first, each after those it needs: parents, labellers, those whose answers are
    learnt from, compared with or rewarded by, and those whose adapters are made one.
    """
    rows = dict[str, None]()
    for name in models:
        for row in reversed(lineage(params, name)[:-1]):  # the last one is a base
            labeller, sampled = params.labeller(row), params.samples_of(params.models[row].dataset)
            others = [*([labeller] if labeller else []), *params.rewarded_by(row), *params.bundled_for(row)]
            answering = [params.samples[name].model for name in sampled if params.samples[name].model in params.models]
            compared = [other for other in params.compared_with(row) if other in params.models]
            rows |= dict.fromkeys([*needed(params, [*others, *answering, *compared]), row])
    return list(rows)


def task_of(params: Params, name: str) -> str:
    """Return the name under which versions of the row `name` of models are served; ParamsError if there is no row."""
    model_of(params, name)
    return params.task(name)


def model_of(params: Params, name: str) -> Model:
    """Return the row `name` of models; ParamsError if there is none."""
    if name not in params.models:
        raise ParamsError(f"MODEL={name}: params.yaml has no such model{suggestion(name, params.models)}")
    return params.models[name]
