"""The registry has one version a distinct artifact, its aliases move as promised, and a store that is down says so in seconds."""

import http.server
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tasks import register, tracking
from tasks.errors import AnnealError, TransientError
from tasks.files import sha256, write_json, write_jsonl

NAME = "things"


@pytest.fixture
def made(store, tmp_path):
    """A function that registers the artifact named `what`, made on its first call."""

    def make(what: str, tags: dict[str, str] | None = None, metrics: dict[str, float] | None = None) -> register.Version:
        adapter, evaluate = tmp_path / what / "adapter", tmp_path / what / "evaluate"
        write_jsonl(adapter / "adapter_model.safetensors", [{"weights": what}])
        write_jsonl(evaluate / "predictions.jsonl", [{"id": "1", "text": what}])
        trained = sha256(adapter / "adapter_model.safetensors")
        write_json(adapter / "artifact.json", {"artifact_sha256": f"hash-of-{what}", "parts": {"adapter_model.safetensors": trained}})
        return register.register(NAME, adapter, evaluate, tags or {}, metrics or {})

    return make


def test_the_same_artifact_is_one_version_and_another_a_second(made, store):
    first, again, second = made("one"), made("one"), made("two")
    assert (first.version, again.version, second.version) == ("1", "1", "2")
    assert [version.artifact for version in register.versions(NAME)] == ["hash-of-two", "hash-of-one"]
    assert register.find(NAME, "hash-of-one") == first and register.find(NAME, "hash-of-three") is None
    assert register.aliases(NAME) == {"challenger": "2"}
    assert len(store.search_runs([tracking.experiment_id(store)])) == 2


def test_a_version_carries_the_newest_tags_the_metrics_and_the_files(made, store, tmp_path):
    made("one", {"gate": "refused"}, {"tuned_exact": 0.5})
    version = made("one", {"gate": "passed"})
    assert version.tags["gate"] == "passed"
    assert store.get_run(version.run_id).data.metrics == {"tuned_exact": 0.5}
    for part in ("adapter", "evaluate"):
        assert sha256(register.folder(version, part)) == sha256(tmp_path / "one" / part)


def test_a_version_belongs_to_the_run_that_trained_it(made, store):
    made("one")
    adapter = sha256(register.folder(register.get(NAME, "1"), "adapter") / "adapter_model.safetensors")
    experiment = tracking.experiment_id(store)
    trained = store.create_run(experiment, tags={"adapter_sha256": sha256_of("two")}).info.run_id
    assert made("two").run_id == trained and store.get_run(trained).info.status == "FINISHED"
    assert store.get_run(register.get(NAME, "1").run_id).data.tags["adapter_sha256"] == adapter


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
    assert register.versions(NAME) == [] and register.aliases(NAME) == {}
    assert made("one").version == "2" and [version.version for version in register.versions(NAME)] == ["2"]


def test_a_model_that_was_never_registered_has_no_versions(store):
    assert register.versions("nobody") == [] and register.aliases("nobody") == {}


def test_promoting_moves_champion_and_previous_and_twice_changes_nothing(made):
    one, two = made("one"), made("two")
    register.promote(one)
    assert register.aliases(NAME) == {"champion": "1", "challenger": "2"}
    register.promote(two)
    assert register.aliases(NAME) == {"champion": "2", "previous": "1"}
    register.promote(two)
    assert register.aliases(NAME) == {"champion": "2", "previous": "1"}


def test_rolling_back_restores_the_previous_and_marks_what_is_left(made):
    one, two = made("one"), made("two")
    register.promote(one)
    register.promote(two)
    assert register.roll_back(NAME).version == one.version
    assert register.aliases(NAME) == {"champion": "1", "challenger": "2"}
    assert register.get(NAME, "2").tags["rolled_back"] == "true" and "rolled_back" not in register.get(NAME, "1").tags
    with pytest.raises(AnnealError, match="no @previous version to roll back to"):
        register.roll_back(NAME)
    register.promote(register.get(NAME, "2"))  # by hand: from here on it is as good as any
    assert "rolled_back" not in register.get(NAME, "2").tags and register.aliases(NAME) == {"champion": "2", "previous": "1"}


def test_registering_a_known_artifact_again_keeps_the_mark_of_a_roll_back(made):
    for what in ("one", "two"):
        register.promote(made(what))
    register.roll_back(NAME)
    assert made("two", {"gate": "passed"}).tags["rolled_back"] == "true"


def test_a_version_that_was_known_before_can_challenge_again_and_a_champion_cannot(made):
    for what in ("one", "two"):
        register.promote(made(what))
    register.challenge(register.get(NAME, "2"))
    assert register.aliases(NAME) == {"champion": "2", "previous": "1"}
    register.challenge(register.get(NAME, "1"))
    assert register.aliases(NAME) == {"champion": "2", "challenger": "1", "previous": "1"}


def test_a_promotion_that_was_cut_short_is_finished_by_the_next(made, store):
    register.promote(made("one"))
    two = made("two", {"canary": "open"})
    store.set_registered_model_alias(NAME, "previous", "1")
    store.set_registered_model_alias(NAME, "champion", "2")  # and then it was killed
    register.promote(two)
    assert register.aliases(NAME) == {"champion": "2", "previous": "1"} and register.get(NAME, "2").tags["canary"] == "promoted"


def test_a_look_is_all_aliases_and_versions_and_of_an_unknown_model_nothing(made):
    register.promote(made("one"))
    made("two")
    aliases, versions = register.look(NAME)
    assert aliases == {"champion": "1", "challenger": "2"} and [version.version for version in versions] == ["2", "1"]
    assert register.look("nobody") is None


@contextmanager
def server(status: int, body: bytes = b"") -> Iterator[str]:
    """A server that answers every request with `status`."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as found:
        threading.Thread(target=found.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{found.server_port}"
        found.shutdown()


@contextmanager
def silent() -> Iterator[str]:
    """A server that takes the connection and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        yield f"127.0.0.1:{found.getsockname()[1]}"


@contextmanager
def closed() -> Iterator[str]:
    """A port where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
    yield f"127.0.0.1:{port}"


DOWN = {"nobody listens": closed, "it never answers": silent, "its proxy answers 502": lambda: server(502), "it is overloaded": lambda: server(503)}


@pytest.mark.parametrize("trouble", DOWN)
def test_a_tracking_server_that_is_down_says_so_within_seconds_and_without_its_password(monkeypatch, trouble):
    with DOWN[trouble]() as place:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://ann:s3cret@{place}")
        started = time.monotonic()
        with pytest.raises(TransientError, match=f"MLflow at http://{place} does not answer") as raised:
            register.versions(NAME)
    assert time.monotonic() - started < 10
    assert "s3cret" not in str(raised.value) and raised.value.exit_status == 75


@pytest.mark.parametrize("status, body, words", [(200, b"1.30.0", "is version 1.30.0"), (404, b"no such page", "cannot be used")])
def test_a_server_that_is_not_this_mlflow_says_so(monkeypatch, status, body, words):
    with server(status, body) as place:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://ann:s3cret@{place}")
        with pytest.raises(AnnealError, match=f"MLflow at http://{place} {words}") as raised:
            register.versions(NAME)
    assert "s3cret" not in str(raised.value)


def test_a_store_of_another_version_says_so(store, monkeypatch, tmp_path):
    import sqlite3

    with sqlite3.connect(tmp_path / "mlflow" / "mlflow.db") as database:
        database.execute("UPDATE alembic_version SET version_num = 'ffffffffffff'")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow/../mlflow/mlflow.db")  # a path that no store is cached for
    with pytest.raises(AnnealError, match="cannot be used .*start or upgrade it"):
        tracking.client()


def test_a_store_that_was_copied_or_moved_with_its_checkout_does_not_write_into_the_old_one(store, monkeypatch, tmp_path):
    """MLflow knows its files by absolute paths."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert tracking.client()
    monkeypatch.setattr(tracking, "ARTIFACTS", tmp_path / "moved" / "mlartifacts")
    with pytest.raises(AnnealError, match="was made in another folder and keeps its files there .*move this checkout back"):
        tracking.client()


def test_words_of_mlflow_that_hold_the_address_lose_its_password(monkeypatch):
    import mlflow
    from mlflow.exceptions import MlflowException

    with server(200, mlflow.__version__.encode()) as place:
        uri = f"http://ann:s3cret@{place}"
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)

        def fail(*_: object) -> None:
            raise MlflowException(f"API request to {uri}/api/2.0/mlflow failed, also for ann:s3cret@elsewhere")

        monkeypatch.setattr(mlflow.MlflowClient, "get_experiment_by_name", fail)
        with pytest.raises(AnnealError, match="API request to http://127") as raised:
            tracking.client()
    assert "s3cret" not in str(raised.value)


@pytest.mark.parametrize(
    "uri, shown",
    [
        ("http://ann:s3cret@host:5000/path", "http://host:5000/path"),
        ("https://token@host", "https://host"),
        ("postgresql://ann:s3@cret@host/db", "postgresql://host/db"),
        ("sqlite:///some/mail@place.db", "sqlite:///some/mail@place.db"),
        ("http://host:5000", "http://host:5000"),
    ],
)
def test_an_address_is_shown_without_user_and_password(uri, shown):
    assert tracking.redacted(uri) == shown


def test_files_in_a_store_on_this_machine_are_used_where_they_lie(made):
    place = register.folder(made("one"), "adapter")
    assert tracking.ARTIFACTS in place.parents and place == register.folder(register.get(NAME, "1"), "adapter")
