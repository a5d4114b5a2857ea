"""The registry read without MLflow's client tells of each change that the client makes, and of nothing else."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from tasks.versions import registry_reading
from tasks.versions.registry_reading import Unreadable, read
from tests.flows.project import free_ports

NAME = "things"
if TYPE_CHECKING:
    from mlflow import MlflowClient

CHANGES: "list[Callable[[MlflowClient], object]]" = [
    lambda client: client.create_registered_model(NAME),
    lambda client: client.set_registered_model_tag(NAME, "move-1", "{}"),
    lambda client: client.delete_registered_model_tag(NAME, "move-1"),
    lambda client: client.create_model_version(NAME, "s3://bucket/somewhere", None),
    lambda client: client.set_model_version_tag(NAME, "1", "artifact_sha256", "a'b"),
    lambda client: client.set_model_version_tag(NAME, "1", "gate", "passed"),
    lambda client: client.set_model_version_tag(NAME, "1", "gate", "refused"),
    lambda client: client.create_model_version(NAME, "s3://bucket/elsewhere", None),
    lambda client: client.set_registered_model_alias(NAME, "champion", "1"),
    lambda client: client.set_registered_model_alias(NAME, "champion", "2"),
    lambda client: client.delete_model_version_tag(NAME, "1", "gate"),
    lambda client: client.delete_registered_model_alias(NAME, "champion"),
    lambda client: client.delete_model_version(NAME, "2"),
    lambda client: client.delete_registered_model(NAME),
]


def told(client: "MlflowClient") -> object:
    """What the client tells."""
    from mlflow.exceptions import MlflowException

    try:
        model = client.get_registered_model(NAME)
    except MlflowException:
        return None
    versions = client.search_model_versions(f"name = '{NAME}'")
    return model.aliases, model.tags, sorted((int(entry.version), str(entry.tags)) for entry in versions)


def each_change_is_read(client: "MlflowClient") -> None:
    """Make all changes one after the other; each is read, and what lies between them reads the same."""
    for change in CHANGES:
        before, told_before = read([NAME, "others"]), told(client)
        assert read([NAME, "others"]) == before
        change(client)
        assert told(client) != told_before
        assert read([NAME, "others"]) != before


def test_a_file_tells_of_each_change(store: "MlflowClient") -> None:
    each_change_is_read(store)


def test_another_models_change_is_none(store: "MlflowClient") -> None:
    before = read([NAME])
    store.create_registered_model("others")
    assert read([NAME]) == before != read([NAME, "others"])


@pytest.mark.slow
@pytest.mark.minutes  # MLflow's server starts
def test_a_server_tells_of_each_change_and_of_the_same_aliases(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow import MlflowClient

    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    each_change_is_read(MlflowClient(server, server))
    assert read([NAME])[f"model of {NAME}"] == "[]"
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "secret")
    with pytest.raises(Unreadable, match="only MLflow's client"):
        read([NAME])


@pytest.mark.slow
@pytest.mark.minutes  # MLflow's server starts
def test_more_versions_than_one_answer_holds_are_all_read(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow import MlflowClient

    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    monkeypatch.setattr(registry_reading, "PAGE", 2)
    client = MlflowClient(server, server)
    client.create_registered_model("many")
    for _ in range(5):
        client.create_model_version("many", "s3://bucket/somewhere", None)
    assert [key for key in read(["many"]) if key.startswith("version")] == [
        f"version {number} of many" for number in (5, 4, 3, 2, 1)
    ]


@pytest.mark.parametrize("uri", ["sqlite:////nowhere/at/all.db", "http://127.0.0.1:9", "postgresql://me@here/db"])
def test_a_registry_that_cannot_be_read_is_never_an_empty_one(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(Unreadable):
        read([NAME])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real MLflow server on a store of its own."""
    folder: Path = tmp_path_factory.mktemp("server")
    port = free_ports()["mlflow_port"]
    words = ["-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    store = ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--default-artifact-root", str(folder)]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, *words, *store], cwd=folder, stdout=log, stderr=log, start_new_session=True
        )
    try:
        _await(f"http://127.0.0.1:{port}/health", process)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGKILL)  # its workers too
        process.wait()


def _await(address: str, process: subprocess.Popen) -> None:
    while True:
        assert process.poll() is None
        try:
            if httpx.get(address, timeout=2).status_code == 200:
                return
        except httpx.HTTPError:
            time.sleep(0.2)
