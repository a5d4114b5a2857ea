"""Reads the registry's state in milliseconds, without MLflow's client, which takes seconds to import.

It is only compared with an earlier reading; tasks/versions/registry.py reads what it means.
"""

import json
import os
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from tasks.versions import tracking

if TYPE_CHECKING:
    import httpx

TIMEOUT = 5.0  # seconds
PAGE = 200  # versions of one answer of the server
MOST_PAGES = 50
CREDENTIALS = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")
TABLES = {  # of MLflow's SQL store: the columns behind what the client returns
    "model": "SELECT name FROM registered_models WHERE name = ?",
    "aliases": "SELECT alias, version FROM registered_model_aliases WHERE name = ? ORDER BY alias",
    "tags": "SELECT key, value FROM registered_model_tags WHERE name = ? ORDER BY key",
    "versions": "SELECT version, run_id, status, current_stage FROM model_versions WHERE name = ? ORDER BY version",
    "version_tags": "SELECT version, key, value FROM model_version_tags WHERE name = ? ORDER BY version, key",
}


class Unreadable(Exception):
    """Why the registry cannot be read in this way, in a clause."""


def read(models: Iterable[str]) -> dict[str, str]:
    """The registry's aliases, tags and versions of each of `models`, as texts.

    Raises Unreadable for a store of another kind, one that does not answer, or one with an unexpected answer.
    """
    uri = tracking.tracking_uri()
    if uri.startswith("sqlite:///"):
        return _read_file(Path(uri.removeprefix("sqlite:///")), models)
    if uri.startswith(("http://", "https://")) and not any(map(os.environ.get, CREDENTIALS)):
        return _read_server(uri.rstrip("/"), models)
    raise Unreadable("the registry is of a kind that only MLflow's client reads")


def _read_file(path: Path, models: Iterable[str]) -> dict[str, str]:
    try:
        database = sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=TIMEOUT)
        try:
            database.execute("BEGIN")  # a consistent snapshot
            return {
                f"{part} of {name}": json.dumps(database.execute(query, (name,)).fetchall())
                for name in models
                for part, query in TABLES.items()
            }
        finally:
            database.close()
    except sqlite3.Error as error:
        raise Unreadable(f"the registry at {path} cannot be read ({error})") from None


def _read_server(uri: str, models: Iterable[str]) -> dict[str, str]:
    import httpx

    try:
        with httpx.Client(base_url=uri, timeout=TIMEOUT) as client:
            texts = {"MLflow": client.get("/version").raise_for_status().text}
            for name in models:
                texts |= _read_model(client, name)
            return texts
    except (httpx.HTTPError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise Unreadable(f"the registry at {tracking.redacted(uri)} does not answer ({type(error).__name__})") from None


def _read_model(client: "httpx.Client", name: str) -> dict[str, str]:
    """The server's answers about one model."""
    answer = client.get("/api/2.0/mlflow/registered-models/get", params={"name": name})
    if answer.status_code == 404 and answer.json().get("error_code") == "RESOURCE_DOES_NOT_EXIST":
        return {f"model of {name}": "[]"}
    model = answer.raise_for_status().json()["registered_model"]
    if model["name"] != name:
        raise Unreadable(f"the registry was asked about {name} and answers about {model['name']}")
    aliases = sorted((entry["alias"], str(entry["version"])) for entry in model.get("aliases", []))
    texts = {
        f"aliases of {name}": json.dumps(aliases),
        f"tags of {name}": json.dumps(_tags(model)),
    }
    for version in _versions(client, name):
        facts = [version["run_id"], version["status"], version["current_stage"], _tags(version)]
        texts[f"version {version['version']} of {name}"] = json.dumps(facts)
    return texts


def _versions(client: "httpx.Client", name: str) -> list[dict[str, Any]]:
    """All versions of the model, page by page."""
    versions: list[dict[str, Any]] = []
    query = {"filter": f"name = '{name}'", "max_results": str(PAGE)}
    for _ in range(MOST_PAGES):
        page = client.get("/api/2.0/mlflow/model-versions/search", params=query).raise_for_status().json()
        versions += page.get("model_versions", [])
        if not page.get("next_page_token"):
            return versions
        query["page_token"] = page["next_page_token"]
    raise Unreadable(f"the registry has more than {PAGE * MOST_PAGES} versions of {name}")


def _tags(entry: dict[str, Any]) -> list[tuple[str, str]]:
    return sorted((tag["key"], tag["value"]) for tag in entry.get("tags", []))
