"""A registry that stumbles, is locked or answers about something else is never taken for one that has nothing."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import pytest

from tasks.errors import AnnealError, TransientError
from tasks.versions import registry, tracking
from tests.tasks.artifacts import NAME, register
from tests.tasks.promoting import promote

pytestmark = pytest.mark.slow  # each test trains, or loads a model

CALLS = (
    "get_registered_model",
    "search_model_versions",
    "set_model_version_tag",
    "list_artifacts",
)


@pytest.fixture
def made(store, tmp_path):
    """A function that registers the artifact named `what`, made on its first call."""
    return partial(register, tmp_path)


@pytest.mark.parametrize("code", ["TEMPORARILY_UNAVAILABLE", "INTERNAL_ERROR", "PERMISSION_DENIED", "BAD_REQUEST"])
def test_a_registry_that_stumbles_is_never_one_that_has_nothing(made, monkeypatch, code):
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import ErrorCode

    version = made("one")

    def stumble(*_: object, **__: object) -> None:
        raise MlflowException("database is locked", ErrorCode.Value(code))

    for call in CALLS:
        monkeypatch.setattr(MlflowClient, call, stumble)
    ask = {
        "read": lambda: registry.read(NAME),
        "read_all": lambda: registry.read_all([NAME]),
        "tag": lambda: registry.tag(version, parity="1.0"),
        "has_files": lambda: registry.has_files(version, "adapter"),
    }
    for question in ask.values():
        with pytest.raises(AnnealError, match="^the registry cannot be queried: .*database is locked") as raised:
            question()
        assert isinstance(raised.value, TransientError) == (code in ("TEMPORARILY_UNAVAILABLE", "INTERNAL_ERROR"))


def test_a_store_that_another_process_has_locked_is_said_and_not_taken_for_empty(made, store, monkeypatch):
    import sqlite3

    from sqlalchemy import Engine, event

    def impatient(
        _c: object, _n: object, statement: str, parameters: object, _x: object, _m: object
    ) -> tuple[str, object]:
        return statement.replace("busy_timeout = 20000", "busy_timeout = 50"), parameters

    promote(made("one"))
    client = tracking.client()
    monkeypatch.setattr(tracking, "client", lambda: client)  # the lock comes after the store was opened
    other = sqlite3.connect(tracking.tracking_uri().removeprefix("sqlite:///"), isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    event.listen(Engine, "before_cursor_execute", impatient, retval=True)
    try:
        with pytest.raises(TransientError, match="the registry cannot be queried: .*locked"):
            registry.read(NAME)
    finally:
        event.remove(Engine, "before_cursor_execute", impatient)
        other.close()
    assert registry.read(NAME).at("champion").version == "1"


def test_a_retraining_is_not_decided_on_a_registry_that_stumbles(made, monkeypatch):
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    from tasks.retrain.gather import champion_of
    from tasks.serve import routes

    promote(made("one"))
    assert champion_of(NAME, routes.Task()) == "1" and champion_of("nobody", routes.Task()) is None

    def stumble(*_: object) -> None:
        raise MlflowException("locked")

    monkeypatch.setattr(MlflowClient, "get_registered_model", stumble)
    with pytest.raises(TransientError, match="the registry cannot be queried"):
        champion_of(NAME, routes.Task())


def test_only_an_alias_or_a_model_that_is_not_there_reads_as_none(made, monkeypatch):
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE, RESOURCE_DOES_NOT_EXIST

    promote(made("one"))
    assert registry.read(NAME).at("previous") is None and registry.read("nobody").at("champion") is None

    @contextmanager
    def refusing(call: str, code: int) -> Iterator[None]:
        def ask(*_: object) -> None:
            raise MlflowException("no", code)

        with monkeypatch.context() as patch:
            patch.setattr(MlflowClient, call, ask)
            yield

    with refusing("get_registered_model", RESOURCE_DOES_NOT_EXIST):
        assert not registry.read(NAME).is_registered
    for call, code in (
        ("get_registered_model", INVALID_PARAMETER_VALUE),
        ("search_model_versions", RESOURCE_DOES_NOT_EXIST),
    ):
        with refusing(call, code), pytest.raises(AnnealError, match="the registry cannot be queried"):
            registry.read(NAME)


def test_an_alias_of_a_version_that_is_not_listed_is_not_taken_for_no_alias(made, monkeypatch):
    from mlflow import MlflowClient

    promote(made("one"))
    monkeypatch.setattr(MlflowClient, "search_model_versions", lambda *_: [])
    with pytest.raises(AnnealError, match="the registry has no whole version 1 of things"):
        registry.read(NAME).at("champion")


@pytest.mark.parametrize("about", ["", "other"])
def test_an_answer_about_another_model_or_nothing_is_not_one_without_a_champion(made, monkeypatch, about):
    from types import SimpleNamespace

    from mlflow import MlflowClient

    made("one")
    entry = SimpleNamespace(name=about, version="", run_id="", aliases={}, tags={"artifact_sha256": ""})
    real = MlflowClient.get_registered_model
    monkeypatch.setattr(MlflowClient, "get_registered_model", lambda *_: entry)
    monkeypatch.setattr(
        MlflowClient, "search_model_versions", lambda *_: [SimpleNamespace(**{**vars(entry), "version": "1"})]
    )
    for _ in ("the model is another", "its versions are"):
        with pytest.raises(
            AnnealError,
            match=f"the registry cannot be queried: .* was asked about things and answers about {about or 'nothing'};",
        ):
            registry.read(NAME)
        monkeypatch.setattr(MlflowClient, "get_registered_model", real)
