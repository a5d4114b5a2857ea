"""The typed view of the whole of params.yaml, checked once before any work."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from tasks import sources, stage
from tasks.base import Base
from tasks.errors import ParamsError
from tasks.evaluate.params import Evaluate
from tasks.gate import Gate
from tasks.ingest.params import Ingest
from tasks.kinds import KindIn
from tasks.monitor.params import Monitor
from tasks.package import Package
from tasks.predict.params import Predict
from tasks.prepare import shapes
from tasks.prepare.rows import Templates
from tasks.retrain.params import Retrain
from tasks.section import Section, parse, suggestion
from tasks.serve.params import Deploy, Gateway, Records, Release, Servers
from tasks.train.params import Train
from tasks.validate import Validate

Name = Annotated[
    str, Field(pattern=r"^[a-z][a-z0-9_-]*$", max_length=100, description="lower-case letters, digits, _ and -")
]


class Dataset(Section):
    """A row of `datasets`."""

    snapshot: Annotated[Section, KindIn(sources.PACKAGE)] | None = None
    ingest: Ingest
    validate_: Validate = Field(alias="validate")
    prepare: Annotated[Section, KindIn("tasks.prepare.shapes", "shape")]

    @property
    def templates(self) -> Templates:
        """What makes a prompt and an answer of a row's columns."""
        templates: Templates = shapes.of(self.prepare).templates(self.prepare)
        return templates


class Model(Section):
    """A row of `models`: a parent (a base or another model), a dataset, and a section a stage."""

    parent: str
    dataset: str
    train: Train
    predict: Predict
    evaluate: Evaluate
    package: Package
    gate: Gate


class Params(Section):
    """params.yaml."""

    bases: dict[Name, Base]
    datasets: dict[Name, Dataset]
    models: dict[Name, Model]
    deploy: Deploy = Deploy()
    gateway: Gateway = Gateway()
    records: Records = Records()
    release: Release = Release()
    monitor: Monitor = Monitor()
    retrain: Retrain = Retrain()
    servers: Servers = Servers()


def load(path: Path = Path("params.yaml"), text: str | None = None) -> Params:
    """The whole of params.yaml (of `text`, where that will stand there); ParamsError for the first thing that is
    wrong.
    """
    params = parse(Params, stage.parse_yaml(text, path) if text else stage.load_yaml(path), "")
    check_rows(params)
    return params


def check_rows(params: Params) -> None:
    """Raise ParamsError for a name used twice, a parent or dataset that does not exist, or rows that build on each
    other in a ring.
    """
    for name in params.models.keys() & params.bases.keys():
        raise ParamsError(f"params.yaml: `{name}` is both a base and a model; give one of them another name.")
    for name in params.datasets.keys() & (params.models.keys() | params.bases.keys()):
        raise ParamsError(
            f"params.yaml: `{name}` is both a dataset and a model or base; give one of them another name."
        )
    for name, model in params.models.items():
        parents = [*params.bases, *(other for other in params.models if other != name)]
        if model.parent not in parents and model.parent != name:
            raise ParamsError(
                f"params.yaml: models.{name}.parent is '{model.parent}', which is no row of bases or "
                f"models{suggestion(model.parent, parents)}"
            )
        if model.dataset not in params.datasets:
            raise ParamsError(
                f"params.yaml: models.{name}.dataset is '{model.dataset}', which is no row of "
                f"datasets{suggestion(model.dataset, params.datasets)}"
            )
        ring = lineage(params, name)
        if ring[-1] in params.models:
            raise ParamsError(
                f"params.yaml: these models build on each other in a ring: {' → '.join(ring)}; give one of them a "
                "base as parent."
            )


def lineage(params: Params, name: str) -> list[str]:
    """`name`, its parent, its parent's parent … down to a base, or to the first name met twice."""
    found = [name]
    while found[-1] in params.models and found[-1] not in found[:-1]:
        found.append(params.models[found[-1]].parent)
    return found


def model_of(params: Params, name: str) -> Model:
    """The row `name` of models; ParamsError when there is none."""
    if name not in params.models:
        raise ParamsError(f"MODEL={name}: params.yaml has no such model{suggestion(name, params.models)}")
    return params.models[name]
