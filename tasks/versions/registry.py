"""Keeps models in the MLflow registry, one version per distinct artifact, and reads them. Aliases are moved in
tasks/versions/alias_moves.py, as tasks/versions/promotion.py decides.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.errors import AnnealError
from tasks.files import read_json
from tasks.serve.routes import ALIASES, served_name
from tasks.versions import tracking

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion, RegisteredModel


@dataclass(frozen=True)
class Version:
    """A version in the registry, with its tags."""

    name: str
    version: str
    artifact: str
    run_id: str
    tags: Mapping[str, str]

    @property
    def served_name(self) -> str:
        """Its name at a server."""
        return served_name(self.name, self.version)

    @property
    def base(self) -> str:
        """The SHA-256 of the weights it was trained on."""
        return self.tags.get("base_sha256", "")

    @property
    def form(self) -> str:
        """The form in which it passed its parity check (tasks/serve/forms.py); empty for older versions."""
        return self.tags.get("served_as", "")

    @property
    def is_verified(self) -> bool:
        """True if it has passed its parity check."""
        return "parity" in self.tags

    @property
    def is_taken_back(self) -> bool:
        """True if a canary or a person took it back: it stays addressable, but no server runs for it alone."""
        return "rolled_back" in self.tags or self.tags.get("canary") in ("undecided", "rolled_back", "superseded")

    @property
    def canary(self) -> str:
        """`share` or `shadow` while its canary is open, else empty."""
        return self.tags.get("canary_mode", "share") if self.tags.get("canary") == "open" else ""

    @property
    def canary_share(self) -> float:
        """The share of the requests that its open canary gets."""
        return float(self.tags.get("canary_share", 0)) if self.canary == "share" else 0.0

    @property
    def canary_since(self) -> float:
        """Seconds since the epoch when its canary was opened; 0 while none is open."""
        return float(self.tags.get("canary_since", 0)) if self.canary else 0.0


@dataclass(frozen=True)
class Model:
    """A model in the registry: its version numbers by alias, its tags, and its complete versions by number, newest
    first.
    """

    name: str
    aliases: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, Version] = field(default_factory=dict)
    is_registered: bool = True

    def at(self, alias: str) -> Version | None:
        """The version that `alias` points to; None only when there is no such alias."""
        number = self.aliases.get(alias)
        return None if number is None else self.version(number)

    def version(self, number: str) -> Version:
        """Version `number`; AnnealError where the registry has none that is whole."""
        if number not in self.versions:
            raise AnnealError(
                f"the registry has no whole version {number} of {self.name}: `make pipeline MODEL={self.name}` makes "
                "versions."
            )
        return self.versions[number]

    @property
    def aliased(self) -> dict[str, Version]:
        """The versions by alias."""
        numbers = {alias: self.aliases.get(alias, "") for alias in ALIASES}
        return {alias: self.versions[number] for alias, number in numbers.items() if number in self.versions}

    def of_artifact(self, artifact: str) -> Version | None:
        """The version that holds `artifact`, or None."""
        return next((version for version in self.versions.values() if version.artifact == artifact), None)


def read(name: str, client: MlflowClient | None = None) -> Model:
    """The model `name` in the registry, in two requests.

    It counts as not registered only if the registry says so; AnnealError for any other error, since a registry that
    fails must not look like one without a champion. A version whose upload was interrupted has no artifact tag and does
    not count.
    """
    from mlflow.exceptions import MlflowException

    client = client or tracking.client()
    with tracking.translated_errors():
        try:
            entry = client.get_registered_model(name)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return Model(name, is_registered=False)
            raise
        listed = client.search_model_versions(f"name = '{name}'")
    _check_name(entry, name)
    whole = [_version(listing, name) for listing in listed if "artifact_sha256" in listing.tags]
    versions = {version.version: version for version in sorted(whole, key=lambda version: -int(version.version))}
    return Model(name, {which: str(number) for which, number in entry.aliases.items()}, dict(entry.tags), versions)


def read_all(names: Iterable[str]) -> dict[str, Model]:
    """The registered ones of `names`."""
    client = tracking.client()
    return {name: model for name in names if (model := read(name, client)).is_registered}


def register(
    name: str, adapter: Path, evaluate: Path, metrics: Mapping[str, float], reference: Path | None = None
) -> str:
    """The number of the registry's version of the artifact in `adapter/`, made when it is new. No alias moves.

    A new version keeps the folder `reference` that the monitor compares with.
    """
    artifact = read_json(adapter / "artifact.json")["artifact_sha256"]
    client = tracking.client()
    known = read(name, client).of_artifact(artifact)
    if known is not None:
        return known.version
    parts = {"evaluate": evaluate, **({"reference": reference} if reference else {})}
    with tracking.translated_errors():
        return _create(client, name, artifact, {"adapter": adapter, **parts}, metrics)


def tag(version: Version, **values: str | None) -> None:
    """Put tags on `version`; a value of None takes the tag away."""
    put_tags(tracking.client(), version, values)


def put_tags(client: MlflowClient, version: Version, values: Mapping[str, str | None]) -> None:
    """As `tag`, in the order of `values`. Each may be put twice, so a call that was interrupted can be made again."""
    with tracking.translated_errors():
        for key, value in values.items():
            if value is None:
                client.delete_model_version_tag(version.name, version.version, key)
            else:
                client.set_model_version_tag(version.name, version.version, key, value)


def has_files(version: Version, part: str) -> bool:
    """True if `version` was registered with the files `part`."""
    client = tracking.client()
    with tracking.translated_errors():
        return bool(client.list_artifacts(version.run_id, part))


def folder(version: Version, part: str) -> Path:
    """Where the files `part` (`adapter`, `evaluate` or `reference`) of `version` lie on this machine, fetched when
    the store is elsewhere.
    """
    import mlflow

    client = tracking.client()
    with tracking.translated_errors():
        uri = f"{client.get_run(version.run_id).info.artifact_uri}/{part}"
        # Asked by address, MLflow gives a local store's own folder; asked by run, a new copy in /tmp each time.
        return Path(mlflow.artifacts.download_artifacts(artifact_uri=uri, tracking_uri=tracking.tracking_uri()))


def _create(
    client: MlflowClient, name: str, artifact: str, parts: Mapping[str, Path], metrics: Mapping[str, float]
) -> str:
    from mlflow.exceptions import MlflowException

    run_id = _training_run(client, name, parts["adapter"])
    for key, value in metrics.items():
        client.log_metric(run_id, key, value)
    for part, folder in parts.items():
        client.log_artifacts(run_id, str(folder), part)
    if client.get_run(run_id).info.status == "RUNNING":
        client.set_terminated(run_id)
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    source = client.get_run(run_id).info.artifact_uri + "/adapter"
    created = client.create_model_version(name, source, run_id)
    # last: from here on the version counts
    client.set_model_version_tag(name, created.version, "artifact_sha256", artifact)
    return str(created.version)


def _training_run(client: MlflowClient, name: str, adapter: Path) -> str:
    """The run that trained this artifact, found by its hash; a new one where that run is in another store."""
    parts = read_json(adapter / "artifact.json")["parts"]
    trained = parts[min(part for part in parts if part.endswith(".safetensors"))]  # as train tagged its run
    runs = client.search_runs([tracking.experiment_id(client)], f"tags.adapter_sha256 = '{trained}'", max_results=1)
    if runs:
        return str(runs[0].info.run_id)
    run = client.create_run(
        tracking.experiment_id(client),
        run_name=f"register {name}",
        tags={"model": name, "stage": "register", "adapter_sha256": trained},
    )
    return str(run.info.run_id)


def _version(entry: ModelVersion, name: str) -> Version:
    _check_name(entry, name)
    return Version(
        entry.name, str(entry.version), entry.tags.get("artifact_sha256", ""), str(entry.run_id), dict(entry.tags)
    )


def _check_name(entry: ModelVersion | RegisteredModel, name: str) -> None:
    """AnnealError for an answer about something else: an empty one, as a proxy may give, would read as a model
    without a champion.
    """
    if entry.name != name:
        uri = tracking.redacted(tracking.tracking_uri())
        raise AnnealError(
            f"the registry cannot be queried: MLflow at {uri} was asked about {name} and answers about "
            f"{entry.name or 'nothing'}; fix that and run again."
        )
