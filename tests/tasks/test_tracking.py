"""A store that is down, of another version or of another folder says so in one sentence, in seconds and without its
password.
"""

import http.server
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tasks.errors import AnnealError, TransientError
from tasks.versions import registry, tracking


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


DOWN = {
    "nobody listens": closed,
    "it never answers": silent,
    "its proxy answers 502": lambda: server(502),
    "it is overloaded": lambda: server(503),
}


@pytest.mark.parametrize("trouble", DOWN)
@pytest.mark.slow
def test_a_tracking_server_that_is_down_says_so_within_seconds_and_without_its_password(monkeypatch, trouble):
    with DOWN[trouble]() as place:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://ann:s3cret@{place}")
        started = time.monotonic()
        with pytest.raises(TransientError, match=f"MLflow at http://{place} does not answer") as raised:
            registry.read("things")
    assert time.monotonic() - started < 10
    assert "s3cret" not in str(raised.value) and raised.value.exit_status == 75


@pytest.mark.parametrize(
    "status, body, words", [(200, b"1.30.0", "is version 1.30.0"), (404, b"no such page", "cannot be used")]
)
@pytest.mark.slow
def test_a_server_that_is_not_this_mlflow_says_so(monkeypatch, status, body, words):
    with server(status, body) as place:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://ann:s3cret@{place}")
        with pytest.raises(AnnealError, match=f"MLflow at http://{place} {words}") as raised:
            registry.read("things")
    assert "s3cret" not in str(raised.value)


@pytest.mark.slow
def test_a_server_that_goes_down_while_a_process_has_its_client_says_so_too(monkeypatch):
    import mlflow

    made = object()
    monkeypatch.setattr(tracking, "_open", lambda *_: made)
    with server(200, mlflow.__version__.encode()) as place:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://{place}")
        assert tracking.client() is made
    with pytest.raises(TransientError, match="does not answer"):
        tracking.client()


def test_a_store_of_another_version_says_so(store, monkeypatch, tmp_path):
    import sqlite3

    with sqlite3.connect(tmp_path / "mlflow" / "mlflow.db") as database:
        database.execute("UPDATE alembic_version SET version_num = 'ffffffffffff'")
    monkeypatch.setenv(
        "MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow/../mlflow/mlflow.db"
    )  # a path that no store is cached for
    with pytest.raises(AnnealError, match="cannot be used .*start or upgrade it"):
        tracking.client()


def test_a_store_that_was_copied_or_moved_with_its_checkout_does_not_write_into_the_old_one(
    store, monkeypatch, tmp_path
):
    """MLflow knows its files by absolute paths."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert tracking.client()
    monkeypatch.setattr(tracking, "ARTIFACTS", tmp_path / "moved" / "mlartifacts")
    with pytest.raises(
        AnnealError, match="was made in another folder and keeps its files there .*move this checkout back"
    ):
        tracking.client()


@pytest.mark.slow
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
