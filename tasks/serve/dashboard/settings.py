"""The parts of params.yaml and of the environment that the dashboard shows, passed in at start."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tasks.monitor.params import Monitor
from tasks.retrain.params import Retrain
from tasks.serve.params import Release


@dataclass(frozen=True)
class DashboardSettings:
    """Sections of params.yaml, and where the other servers are: `links` has URLs by `mlflow` and `prefect`."""

    monitor: Monitor = field(default_factory=Monitor)
    retrain: Retrain = field(default_factory=Retrain)
    release: Release = field(default_factory=Release)
    links: Mapping[str, str] = field(default_factory=dict)
