"""Keeps models in the MLflow registry: a version per distinct artifact, and the aliases champion, challenger and previous."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks import tracking
from tasks.errors import AnnealError
from tasks.files import read_json

ALIASES = ("champion", "challenger", "previous")


@dataclass(frozen=True)
class Version:
    """A version in the registry."""

    name: str
    version: str
    artifact: str
    run_id: str
    tags: dict[str, str]


def register(name: str, adapter: Path, evaluate: Path, tags: dict[str, str], metrics: dict[str, float], reference: Path | None = None) -> Version:
    """The registry's version of the artifact in `adapter/`, made when it is new; a second call finds the first one's.

    A new version becomes @challenger (one that the gate refused does not displace another whose canary is open), and keeps the folder
    `reference` that the monitor compares with. `tags` are put on the version in either case, for they describe the newest verdict.
    """
    client = tracking.client()
    artifact = read_json(adapter / "artifact.json")["artifact_sha256"]
    found = find(name, artifact)
    if found is None:
        found = _create(client, name, artifact, {"adapter": adapter, "evaluate": evaluate, "reference": reference}, metrics)
        rival = alias(name, "challenger")
        if tags.get("gate") != "refused" or rival is None or rival.tags.get("canary") != "open":
            client.set_registered_model_alias(name, "challenger", found.version)
    for key, value in tags.items():
        client.set_model_version_tag(name, found.version, key, value)
    return get(name, found.version)


def find(name: str, artifact: str) -> Version | None:
    """The version of `name` that holds `artifact`, or None."""
    return next((version for version in versions(name) if version.artifact == artifact), None)


def versions(name: str) -> list[Version]:
    """All whole versions of `name`, newest first; one whose upload was cut short has no artifact tag and does not count."""
    found = tracking.client().search_model_versions(f"name = '{name}'")
    return [_version(entry) for entry in sorted(found, key=lambda entry: -int(entry.version)) if "artifact_sha256" in entry.tags]


def get(name: str, version: str) -> Version:
    """Version number `version` of `name`."""
    return _version(tracking.client().get_model_version(name, version))


def alias(name: str, which: str) -> Version | None:
    """The version that the alias `which` of `name` points to, or None."""
    from mlflow.exceptions import MlflowException

    try:
        return _version(tracking.client().get_model_version_by_alias(name, which))
    except MlflowException:
        return None


def aliases(name: str) -> dict[str, str]:
    """Alias: version number, for those that are set."""
    return {which: found.version for which in ALIASES if (found := alias(name, which))}


def look(name: str) -> tuple[dict[str, str], list[Version]] | None:
    """(alias: version number, all whole versions) of `name` in two questions; None when the registry has no such model."""
    from mlflow.exceptions import MlflowException

    try:
        found = tracking.client().get_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return None
    return {which: str(number) for which, number in found.aliases.items()}, versions(name)


def tag(version: Version, **values: str | None) -> None:
    """Put tags on `version`; a value of None takes the tag away."""
    client = tracking.client()
    known = client.get_model_version(version.name, version.version).tags
    for key, value in values.items():
        if value is not None:
            client.set_model_version_tag(version.name, version.version, key, value)
        elif key in known:
            client.delete_model_version_tag(version.name, version.version, key)


def challenge(version: Version) -> None:
    """Make `version` the @challenger unless it is that or the champion already."""
    now = aliases(version.name)
    if version.version not in (now.get("champion"), now.get("challenger")):
        tracking.client().set_registered_model_alias(version.name, "challenger", version.version)


def promote(version: Version) -> None:
    """Make `version` the champion and the old champion @previous; nothing changes when it is so already, and one that was cut short is finished."""
    client = tracking.client()
    old = alias(version.name, "champion")
    if old is None or old.version != version.version:
        if old:
            client.set_registered_model_alias(version.name, "previous", old.version)
        client.set_registered_model_alias(version.name, "champion", version.version)
    challenger = alias(version.name, "challenger")
    if challenger and challenger.version == version.version:
        client.delete_registered_model_alias(version.name, "challenger")
    tag(version, rolled_back=None, canary="promoted" if "canary" in version.tags else None)


def roll_back(name: str) -> Version:
    """Make @previous the champion again, and mark the version that is left so that no run promotes it by itself."""
    client = tracking.client()
    old, previous = alias(name, "champion"), alias(name, "previous")
    if previous is None:
        raise AnnealError(f"{name} has no @previous version to roll back to.")
    client.set_registered_model_alias(name, "champion", previous.version)
    client.delete_registered_model_alias(name, "previous")
    if old:
        client.set_model_version_tag(name, old.version, "rolled_back", "true")
        client.set_registered_model_alias(name, "challenger", old.version)
    return get(name, previous.version)


def has(version: Version, part: str) -> bool:
    """True when `version` was registered with files `part`."""
    return bool(tracking.client().list_artifacts(version.run_id, part))


def folder(version: Version, part: str) -> Path:
    """Where the files `part` (`adapter`, `evaluate` or `reference`) of `version` lie on this machine, fetched when the store is elsewhere."""
    import mlflow

    place = f"{tracking.client().get_run(version.run_id).info.artifact_uri}/{part}"
    # Asked by address, MLflow gives a local store's own folder; asked by run, a new copy in /tmp each time.
    return Path(mlflow.artifacts.download_artifacts(artifact_uri=place, tracking_uri=tracking.tracking_uri()))


def _create(client: Any, name: str, artifact: str, parts: dict[str, Path | None], metrics: dict[str, float]) -> Version:
    from mlflow.exceptions import MlflowException

    run_id = _training_run(client, name, parts["adapter"])
    for key, value in metrics.items():
        client.log_metric(run_id, key, value)
    for part, folder in parts.items():
        if folder is not None:
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
    client.set_model_version_tag(name, made.version, "artifact_sha256", artifact)  # last: from here on the version counts
    return get(name, made.version)


def _training_run(client: Any, name: str, adapter: Path) -> str:
    """The run that trained this artifact, found by its hash; a new one where that run is in another store."""
    parts = read_json(adapter / "artifact.json")["parts"]
    trained = parts["adapter_model.safetensors"]
    runs = client.search_runs([tracking.experiment_id(client)], f"tags.adapter_sha256 = '{trained}'", max_results=1)
    if runs:
        return runs[0].info.run_id
    made = client.create_run(tracking.experiment_id(client), run_name=f"register {name}", tags={"model": name, "stage": "register", "adapter_sha256": trained})
    return made.info.run_id


def _version(entry: Any) -> Version:
    return Version(entry.name, str(entry.version), entry.tags.get("artifact_sha256", ""), entry.run_id, dict(entry.tags))
