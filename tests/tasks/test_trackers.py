"""A training calls nobody outside, and a tracker that is not there is refused before any work."""

import socket
import sys
from collections.abc import Iterator
from ipaddress import ip_address

import pytest

from tasks.errors import ParamsError
from tasks.section import parse
from tasks.stages.train import trackers
from tasks.stages.train.params import Train
from tests import tiny
from tests.tiny import train_in

CALLS: list[str] = []


def _hear(event: str, arguments: tuple[object, ...]) -> None:
    """Notes what a connection is made to, and whose address is asked for, unless that is this machine."""
    if event not in ("socket.connect", "socket.sendto", "socket.getaddrinfo"):
        return
    address = arguments[0] if event == "socket.getaddrinfo" else arguments[1]
    host = address[0] if isinstance(address, tuple) else address
    if isinstance(host, (bytes, str)) and not _is_here(host.decode() if isinstance(host, bytes) else host):
        CALLS.append(f"{event} {host}")


def _is_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.startswith(("/", "\0"))  # the latter are sockets of this machine's files


@pytest.fixture(scope="module")
def hook() -> None:
    """Heard from now on; an audit hook cannot be taken out again."""
    sys.addaudithook(_hear)


@pytest.fixture
def calls(hook: None) -> Iterator[list[str]]:
    """What is called while a test runs."""
    CALLS.clear()
    yield CALLS


def test_a_planted_call_is_heard(calls) -> None:
    with socket.socket() as planted, pytest.raises(OSError):
        planted.settimeout(0.01)
        planted.connect(("192.0.2.1", 80))
    with socket.socket() as here, pytest.raises(OSError):
        here.connect(("127.0.0.1", 9))
    assert calls == ["socket.connect 192.0.2.1"]


@pytest.mark.slow
def test_no_library_calls_the_outside_during_a_training(calls, store, base, few, tmp_path) -> None:
    train_in(tmp_path, base, few, num_train_epochs=1)
    assert calls == []


def test_a_tracker_that_is_not_installed_is_refused(monkeypatch, tmp_path) -> None:
    assert trackers.problem([]) == ""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(
        ParamsError, match="report_to names wandb, which is not installed: `.venv/bin/uv pip install wandb"
    ):
        trackers.callbacks(["wandb"], tmp_path / "checkpoints/mine/run")


def test_a_tracker_that_does_not_exist_is_refused() -> None:
    assert parse(Train, {**tiny.KINDS, "report_to": ["tensorboard"]}, "train").report_to == ["tensorboard"]
    with pytest.raises(ParamsError, match="report_to"):
        parse(Train, {**tiny.KINDS, "report_to": ["comet"]}, "train")
    assert trackers.TRACKERS.keys() == {"tensorboard", "wandb"}
