"""Where MLflow is, and whether it answers."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tasks.errors import AnnealError, TransientError

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXPERIMENT = "anneal"
STORE = Path(".anneal/mlflow.db")
ARTIFACTS = Path(".anneal/mlartifacts")
RETRIED = (408, 429, 500, 502, 503, 504)  # statuses on which MLflow's client retries, for minutes
PASSING = frozenset(
    {"TEMPORARILY_UNAVAILABLE", "INTERNAL_ERROR", "REQUEST_LIMIT_EXCEEDED", "DEADLINE_EXCEEDED", "ABORTED"}
)


def tracking_uri() -> str:
    """`MLFLOW_TRACKING_URI`, or the SQLite store of this checkout."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{STORE}"


def client() -> MlflowClient:
    """The process's one MlflowClient on a store that answers, its experiment made; AnnealError in seconds when it is
    down or of another version.
    """
    check()  # each time: MLflow's own client asks again for minutes
    return _open(tracking_uri(), STORE, ARTIFACTS.resolve().as_uri(), bool(os.environ.get("MLFLOW_TRACKING_URI")))


@cache
def _open(uri: str, store: Path, artifacts: str, is_users: bool) -> MlflowClient:
    """A client on `uri`, or AnnealError. `is_users`: the user has set the address."""
    is_server = uri.startswith(("http://", "https://"))
    if not is_server:
        store.parent.mkdir(parents=True, exist_ok=True)
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    logging.getLogger("mlflow.store.db.utils").setLevel(
        logging.CRITICAL
    )  # it logs a traceback for each error that it raises
    try:
        client = MlflowClient(uri)  # not `set_tracking_uri`, which changes the environment
        experiment = client.get_experiment_by_name(EXPERIMENT)
        if experiment is None:
            client.create_experiment(EXPERIMENT, artifact_location=None if is_server else artifacts)
        elif not is_users and experiment.artifact_location != artifacts:
            raise AnnealError(
                f"the MLflow store {store} was made in another folder and keeps its files there "
                f"({experiment.artifact_location.removeprefix('file://')}): "
                "move this checkout back, or delete its .anneal/mlflow.db and start a registry of its own."
            )
        return client
    except (MlflowException, SQLAlchemyError) as error:
        words = (
            f"MLflow at {redacted(uri)} cannot be used ({_words(error)}): start or upgrade it, or unset "
            "MLFLOW_TRACKING_URI."
        )
        raise (TransientError(words) if _may_pass(error) else AnnealError(words)) from None


@contextmanager
def translated_errors() -> Iterator[None]:
    """Turn whatever MLflow and its store raise into an AnnealError: an error must never look like "there is none"."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError, OSError) as error:
        words = f"the registry cannot be queried: MLflow at {redacted(tracking_uri())} says {_words(error)}"
        if _may_pass(error):
            raise TransientError(f"{words}; nothing was assumed; try again when it answers.") from None
        raise AnnealError(f"{words}; fix that and run again.") from None


def _may_pass(error: Exception) -> bool:
    """True for a store that is locked, busy or away; False for one that answers and refuses."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import OperationalError

    return (
        error.error_code in PASSING
        if isinstance(error, MlflowException)
        else isinstance(error, OperationalError | OSError)
    )


def _words(error: Exception) -> str:
    """What `error` says, on one line and without a password."""
    return " ".join(_without_password(str(error), tracking_uri()).split())[:160]


def experiment_id(client: MlflowClient) -> str:
    """The id of Anneal's experiment."""
    return str(client.get_experiment_by_name(EXPERIMENT).experiment_id)


def redacted(uri: str) -> str:
    """`uri` without user and password."""
    parts = urlsplit(uri)
    return uri.replace(parts.netloc, parts.netloc.rpartition("@")[2]) if "@" in parts.netloc else uri


def _without_password(words: str, uri: str) -> str:
    """`words`, which may quote `uri`, without its user and password."""
    parts = urlsplit(uri)
    return words.replace(f"{parts.netloc.rpartition('@')[0]}@", "") if "@" in parts.netloc else words


def check() -> None:
    """Raise TransientError or AnnealError if a tracking server is set that does not answer or has another version."""
    if tracking_uri().startswith(("http://", "https://")):
        _check_server(tracking_uri())


def _check_server(uri: str) -> None:
    """Ask the server for its version, once: MLflow's own client would retry for minutes."""
    import httpx
    import mlflow.version

    try:
        answer = httpx.get(f"{uri.rstrip('/')}/version", timeout=5)
    except httpx.HTTPError as error:
        raise TransientError(
            f"MLflow at {redacted(uri)} does not answer ({type(error).__name__}): start it, or unset "
            "MLFLOW_TRACKING_URI."
        ) from None
    if answer.status_code in RETRIED:
        raise TransientError(
            f"MLflow at {redacted(uri)} does not answer (status {answer.status_code}): start it, or unset "
            "MLFLOW_TRACKING_URI."
        )
    if answer.status_code == 200 and answer.text.split(".")[0] != mlflow.version.VERSION.split(".")[0]:
        raise AnnealError(
            f"MLflow at {redacted(uri)} is version {answer.text[:20]}, this client is {mlflow.version.VERSION}: use a "
            "server of the same major version."
        )
