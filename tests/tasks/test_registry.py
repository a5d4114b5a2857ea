"""The registry has one version a distinct artifact, and its aliases move as promised."""

import pytest

from tasks import promotion, registry, tracking
from tasks.errors import AnnealError, TransientError
from tasks.files import sha256, write_json, write_jsonl
from tests.tasks.promoting import promote

pytestmark = pytest.mark.slow  # each test trains, or loads a model

NAME = "things"
CALLS = (
    "get_model_version_by_alias",
    "get_registered_model",
    "search_model_versions",
    "get_model_version",
    "set_model_version_tag",
    "list_artifacts",
)


@pytest.fixture
def made(store, tmp_path):
    """A function that registers the artifact named `what`, made on its first call."""

    def make(
        what: str, tags: dict[str, str] | None = None, metrics: dict[str, float] | None = None
    ) -> registry.Version:
        adapter, evaluate = tmp_path / what / "adapter", tmp_path / what / "evaluate"
        write_jsonl(adapter / "adapter_model.safetensors", [{"weights": what}])
        write_jsonl(evaluate / "predictions.jsonl", [{"id": "1", "text": what}])
        trained = sha256(adapter / "adapter_model.safetensors")
        write_json(
            adapter / "artifact.json",
            {"artifact_sha256": f"hash-of-{what}", "parts": {"adapter_model.safetensors": trained}},
        )
        return promotion.register(NAME, adapter, evaluate, tags or {}, metrics or {})

    return make


def test_the_same_artifact_is_one_version_and_another_a_second(made, store):
    first, again, second = made("one"), made("one"), made("two")
    assert (first.version, again.version, second.version) == ("1", "1", "2")
    assert [version.artifact for version in registry.versions(NAME)] == ["hash-of-two", "hash-of-one"]
    assert registry.find(NAME, "hash-of-one") == first and registry.find(NAME, "hash-of-three") is None
    assert registry.aliases(NAME) == {"challenger": "2"}
    assert len(store.search_runs([tracking.experiment_id(store)])) == 2


def test_a_version_carries_the_newest_tags_the_metrics_and_the_files(made, store, tmp_path):
    made("one", {"gate": "refused"}, {"tuned_exact": 0.5})
    version = made("one", {"gate": "passed"})
    assert version.tags["gate"] == "passed"
    assert store.get_run(version.run_id).data.metrics == {"tuned_exact": 0.5}
    for part in ("adapter", "evaluate"):
        assert sha256(registry.folder(version, part)) == sha256(tmp_path / "one" / part)


def test_a_version_belongs_to_the_run_that_trained_it(made, store):
    made("one")
    adapter = sha256(registry.folder(registry.get(NAME, "1"), "adapter") / "adapter_model.safetensors")
    experiment = tracking.experiment_id(store)
    trained = store.create_run(experiment, tags={"adapter_sha256": sha256_of("two")}).info.run_id
    assert made("two").run_id == trained and store.get_run(trained).info.status == "FINISHED"
    assert store.get_run(registry.get(NAME, "1").run_id).data.tags["adapter_sha256"] == adapter


def sha256_of(what: str) -> str:
    import hashlib

    return hashlib.sha256(f'{{"weights": "{what}"}}\n'.encode()).hexdigest()


def test_an_upload_cut_short_does_not_count_and_is_made_good(made, store, monkeypatch):
    from mlflow import MlflowClient

    class Cut(BaseException):
        pass

    def cut(*_: object) -> None:
        raise Cut

    with monkeypatch.context() as patch, pytest.raises(Cut):
        patch.setattr(MlflowClient, "set_model_version_tag", cut)
        made("one")
    assert len(store.search_model_versions(f"name = '{NAME}'")) == 1
    assert registry.versions(NAME) == [] and registry.aliases(NAME) == {}
    assert made("one").version == "2" and [version.version for version in registry.versions(NAME)] == ["2"]


def test_a_model_that_was_never_registered_has_no_versions(store):
    assert registry.versions("nobody") == [] and registry.aliases("nobody") == {}


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
        "alias": lambda: registry.alias(NAME, "champion"),
        "aliases": lambda: registry.aliases(NAME),
        "look": lambda: registry.look(NAME),
        "versions": lambda: registry.versions(NAME),
        "find": lambda: registry.find(NAME, "hash-of-one"),
        "get": lambda: registry.get(NAME, "1"),
        "tag": lambda: registry.tag(version, parity="1.0"),
        "has": lambda: registry.has(version, "adapter"),
    }
    for question in ask.values():
        with pytest.raises(AnnealError, match="^the registry cannot be asked: .*database is locked") as raised:
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
        with pytest.raises(TransientError, match="the registry cannot be asked: .*locked"):
            registry.alias(NAME, "champion")
        with pytest.raises(TransientError, match="the registry cannot be asked: .*locked"):
            registry.aliases(NAME)
    finally:
        event.remove(Engine, "before_cursor_execute", impatient)
        other.close()
    assert registry.alias(NAME, "champion").version == "1"


def test_a_retraining_is_not_decided_on_a_registry_that_stumbles(made, monkeypatch):
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    from tasks.retrain.gather import champion_of
    from tasks.serve import routes

    promote(made("one"))
    assert champion_of(NAME, routes.Task()) == "1" and champion_of("nobody", routes.Task()) is None

    def stumble(*_: object) -> None:
        raise MlflowException("locked")

    monkeypatch.setattr(MlflowClient, "get_model_version_by_alias", stumble)
    with pytest.raises(TransientError, match="the registry cannot be asked"):
        champion_of(NAME, routes.Task())


def test_only_an_alias_or_a_model_that_is_not_there_reads_as_none(made, monkeypatch):
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE, RESOURCE_DOES_NOT_EXIST

    promote(made("one"))
    assert registry.alias(NAME, "previous") is None and registry.alias("nobody", "champion") is None

    def refuse(code: int) -> None:
        def ask(*_: object) -> None:
            raise MlflowException("no", code)

        monkeypatch.setattr(MlflowClient, "get_model_version_by_alias", ask)

    refuse(RESOURCE_DOES_NOT_EXIST)
    assert registry.alias(NAME, "champion") is None
    refuse(
        INVALID_PARAMETER_VALUE
    )  # what MLflow's stores raise for an alias that is not set, and for any other bad request
    assert registry.alias(NAME, "previous") is None
    with pytest.raises(AnnealError, match="the registry cannot be asked"):
        registry.alias(NAME, "champion")


@pytest.mark.parametrize("about", ["", "other"])
def test_an_answer_about_another_model_or_nothing_is_not_one_without_a_champion(made, monkeypatch, about):
    from types import SimpleNamespace

    from mlflow import MlflowClient

    made("one")
    entry = SimpleNamespace(name=about, version="", run_id="", aliases={}, tags={"artifact_sha256": ""})
    for call in ("get_model_version_by_alias", "get_registered_model", "get_model_version"):
        monkeypatch.setattr(MlflowClient, call, lambda *_: entry)
    monkeypatch.setattr(
        MlflowClient, "search_model_versions", lambda *_: [SimpleNamespace(**{**vars(entry), "version": "1"})]
    )
    questions = (
        lambda name: registry.alias(name, "champion"),
        registry.aliases,
        registry.look,
        registry.versions,
        lambda name: registry.get(name, "1"),
    )
    for question in questions:
        with pytest.raises(
            AnnealError,
            match=f"the registry cannot be asked: .* was asked about things and answers about {about or 'nothing'};",
        ):
            question(NAME)


def test_registering_a_known_artifact_again_keeps_the_mark_of_a_roll_back(made):
    for what in ("one", "two"):
        promote(made(what))
    promotion.roll_back(NAME, "by hand")
    assert made("two", {"gate": "passed"}).tags["rolled_back"] == "true"


def test_a_version_that_was_known_before_can_challenge_again_and_a_champion_cannot(made):
    for what in ("one", "two"):
        promote(made(what))
    promotion.challenge(registry.get(NAME, "2"))
    assert registry.aliases(NAME) == {"champion": "2", "previous": "1"}
    promotion.challenge(registry.get(NAME, "1"))
    assert registry.aliases(NAME) == {"champion": "2", "challenger": "1", "previous": "1"}


def test_a_look_is_all_aliases_and_versions_and_of_an_unknown_model_nothing(made):
    promote(made("one"))
    made("two")
    model, versions = registry.look(NAME)
    assert model.aliases == {"champion": "1", "challenger": "2"} and [version.version for version in versions] == [
        "2",
        "1",
    ]
    assert registry.look("nobody") is None


def test_files_in_a_store_on_this_machine_are_used_where_they_lie(made):
    place = registry.folder(made("one"), "adapter")
    assert tracking.ARTIFACTS in place.parents and place == registry.folder(registry.get(NAME, "1"), "adapter")
