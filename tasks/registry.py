"""Keeps models in the MLflow registry, one version per distinct artifact, and reads their aliases;
tasks/promotion.py moves them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tasks import tracking
from tasks.errors import AnnealError
from tasks.files import read_json

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion, RegisteredModel

ALIASES = ("champion", "challenger", "previous")


@dataclass(frozen=True)
class Version:
    """A version in the registry."""

    name: str
    version: str
    artifact: str
    run_id: str
    tags: dict[str, str]


@dataclass(frozen=True)
class Model:
    """A registered model: alias → version number for the aliases that are set, and its tags."""

    name: str
    aliases: dict[str, str]
    tags: dict[str, str]


def register(
    name: str,
    adapter: Path,
    evaluate: Path,
    metrics: dict[str, float],
    reference: Path | None = None,
) -> tuple[Version, bool]:
    """(the registry's version of the artifact in `adapter/`, whether it was made by this call). No alias moves.

    A new version keeps the folder `reference` that the monitor compares with.
    """
    artifact = read_json(adapter / "artifact.json")["artifact_sha256"]
    known = find(name, artifact)
    if known is not None:
        return known, False
    parts = {"evaluate": evaluate, **({"reference": reference} if reference else {})}
    client = tracking.client()
    with tracking.asking():
        return _create(client, name, artifact, {"adapter": adapter, **parts}, metrics), True


def find(name: str, artifact: str) -> Version | None:
    """The version of `name` that holds `artifact`, or None."""
    return next((version for version in versions(name) if version.artifact == artifact), None)


def versions(name: str, client: MlflowClient | None = None) -> list[Version]:
    """All whole versions of `name`, newest first; one whose upload was cut short has no artifact tag and does not
    count.
    """
    client = client or tracking.client()
    with tracking.asking():
        entries = client.search_model_versions(f"name = '{name}'")
    whole = [entry for entry in entries if "artifact_sha256" in entry.tags]
    return [_version(entry, name) for entry in sorted(whole, key=lambda entry: -int(entry.version))]


def get(name: str, version: str, client: MlflowClient | None = None) -> Version:
    """Version number `version` of `name`."""
    client = client or tracking.client()
    with tracking.asking():
        return _version(client.get_model_version(name, version), name)


def alias(name: str, which: str) -> Version | None:
    """The version that the alias `which` of `name` points to; None only when the registry says that there is no such
    alias.

    AnnealError whenever it says anything else: a registry that stumbles must not look like one without a champion.
    """
    from mlflow.exceptions import MlflowException

    client = tracking.client()
    with tracking.asking():
        try:
            return _version(client.get_model_version_by_alias(name, which), name)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return None
            # For an alias that is not set MLflow's stores raise INVALID_PARAMETER_VALUE, as for any bad request: the
            # model's own list decides.
            if error.error_code != "INVALID_PARAMETER_VALUE":
                raise
            known = model(name, client)
            if known is not None and which in known.aliases:
                raise
            return None


def model(name: str, client: MlflowClient | None = None) -> Model | None:
    """The registered model `name` in one question; None only when the registry says that there is none."""
    from mlflow.exceptions import MlflowException

    client = client or tracking.client()
    with tracking.asking():
        try:
            entry = client.get_registered_model(name)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return None
            raise
    _check_name(entry, name)
    return Model(name, {which: str(number) for which, number in entry.aliases.items()}, dict(entry.tags))


def aliases(name: str) -> dict[str, str]:
    """Alias: version number, for those that are set."""
    known = model(name)
    return {which: known.aliases[which] for which in ALIASES if which in known.aliases} if known else {}


def look(name: str) -> tuple[Model, list[Version]] | None:
    """(the model, all its whole versions) in two questions; None when the registry has no such model."""
    client = tracking.client()
    known = model(name, client)
    return None if known is None else (known, versions(name, client))


def tag(version: Version, **values: str | None) -> None:
    """Put tags on `version`; a value of None takes the tag away."""
    put_tags(tracking.client(), version.name, version.version, values)


def put_tags(client: MlflowClient, name: str, version: str, values: Mapping[str, str | None]) -> None:
    """As `tag`, in the order of `values`, so that a call that was cut short can be made again."""
    with tracking.asking():
        known = client.get_model_version(name, version).tags
        for key, value in values.items():
            if value is None and key in known:
                client.delete_model_version_tag(name, version, key)
            elif value is not None and known.get(key) != value:
                client.set_model_version_tag(name, version, key, value)


def has(version: Version, part: str) -> bool:
    """True when `version` was registered with files `part`."""
    client = tracking.client()
    with tracking.asking():
        return bool(client.list_artifacts(version.run_id, part))


def folder(version: Version, part: str) -> Path:
    """Where the files `part` (`adapter`, `evaluate` or `reference`) of `version` lie on this machine, fetched when
    the store is elsewhere.
    """
    import mlflow

    client = tracking.client()
    with tracking.asking():
        place = f"{client.get_run(version.run_id).info.artifact_uri}/{part}"
        # Asked by address, MLflow gives a local store's own folder; asked by run, a new copy in /tmp each time.
        return Path(mlflow.artifacts.download_artifacts(artifact_uri=place, tracking_uri=tracking.tracking_uri()))


def _create(
    client: MlflowClient, name: str, artifact: str, parts: dict[str, Path], metrics: dict[str, float]
) -> Version:
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
    made = client.create_model_version(name, source, run_id)
    client.set_model_version_tag(
        name, made.version, "artifact_sha256", artifact
    )  # last: from here on the version counts
    return get(name, made.version, client)


def _training_run(client: MlflowClient, name: str, adapter: Path) -> str:
    """The run that trained this artifact, found by its hash; a new one where that run is in another store."""
    parts = read_json(adapter / "artifact.json")["parts"]
    trained = parts[min(part for part in parts if part.endswith(".safetensors"))]  # as train tagged its run
    runs = client.search_runs([tracking.experiment_id(client)], f"tags.adapter_sha256 = '{trained}'", max_results=1)
    if runs:
        return str(runs[0].info.run_id)
    made = client.create_run(
        tracking.experiment_id(client),
        run_name=f"register {name}",
        tags={"model": name, "stage": "register", "adapter_sha256": trained},
    )
    return str(made.info.run_id)


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
            f"the registry cannot be asked: MLflow at {uri} was asked about {name} and answers about "
            f"{entry.name or 'nothing'}; fix that and run again."
        )
