"""The release step: a canary beside a champion, at once where nothing is to be compared, and nothing at all while
something is not known.
"""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.client import BadStatusLine
from pathlib import Path
from types import SimpleNamespace
from xmlrpc.client import Fault, ProtocolError

import pytest

from flows.steps import Steps
from tasks.errors import AnnealError, TransientError
from tasks.records import database
from tasks.serve import supervisor
from tasks.serve.reconcile import gateway
from tasks.serve.reconcile.step import once
from tasks.versions import registry
from tests.house.project import ROOT
from tests.tasks import serving
from tests.tasks.promoting import promote, version_of
from tests.tasks.serving import TASK, World

pytestmark = pytest.mark.slow
PORT = 19640
CALLS = ("get_registered_model", "search_model_versions")


@pytest.fixture
def world(store: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Version 1 answers, version 2 is verified and passed its gate; no gateway was asked for."""
    with serving.world(tmp_path, monkeypatch, PORT) as made:
        monkeypatch.setattr(gateway, "PATIENCE", 0.5)
        promote(made.version("one"))
        made.version("two")
        made.serve("a")
        once(made.params)
        status(monkeypatch, "STOPPED")
        yield made


def status(patch: pytest.MonkeyPatch, word: str) -> None:
    """The supervisor says `word` of the gateway."""
    patch.setattr(supervisor, "status", lambda program: word if program == "gateway" else "RUNNING")


def steps(world: World, version: str = "2", **release: object) -> Steps:
    params = world.params.model_copy(update={"release": world.params.release.model_copy(update=release)})
    made = Steps(params, TASK)
    made.version = version_of(version)
    return made


def decisions() -> list[tuple[str, str, dict]]:
    engine = database.connect()
    with engine.connect() as connection:
        rows = [(row.kind, row.verdict, row.facts) for row in connection.execute(database.decisions.select())]
    engine.dispose()
    return rows


def test_the_first_version_is_promoted_at_once_and_nobody_asks_for_the_gateway(
    store: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving.world(tmp_path, monkeypatch, PORT) as made:
        made.version("one")
        made.serve("a")
        status(monkeypatch, "STARTING")
        first = steps(made, "1")
        assert first.release() and first.released == ("promoted at once: there is no champion to compare with",)
        assert registry.read(TASK).aliases == {"champion": "1"}
        assert decisions() == [("promote", "promoted", {"version": "1", "before": None, "forced": False})]
        again = steps(made, "1")
        assert not again.release() and len(decisions()) == 1


def test_beside_a_champion_a_canary_opens_and_a_second_run_leaves_it_open(world: World) -> None:
    with serving.gateway(PORT + 2, {"revision": 1}):
        run = steps(world)
        assert run.release() and run.released[0].startswith("canary open: version 2 gets 20% of the traffic")
        assert (
            registry.read(TASK).aliases == {"champion": "1", "challenger": "2"}
            and version_of("2").tags["canary"] == "open"
        )
        again = steps(world)
        assert not again.release() and again.released == ("its canary is open; the reconciler promotes or rolls back",)
    assert [row[:2] for row in decisions()] == [("promote", "promoted"), ("canary", "opened")]


@pytest.mark.parametrize(
    "release, why",
    [({"canary": "off"}, "release.canary is off"), ({}, "no gateway is running, so there is no traffic")],
)
def test_where_there_is_nothing_to_compare_on_it_is_promoted_at_once(world: World, release: dict, why: str) -> None:
    run = steps(world, **release)
    assert run.release() and run.released[0].startswith(f"promoted at once: {why}")
    assert registry.read(TASK).aliases == {"champion": "2", "previous": "1"}


@pytest.mark.parametrize("word", ["RUNNING", "STARTING", "BACKOFF", "EXITED"])
def test_a_gateway_that_is_being_restarted_is_not_no_gateway(
    world: World, monkeypatch: pytest.MonkeyPatch, word: str
) -> None:
    status(monkeypatch, word)
    with pytest.raises(TransientError, match="the gateway is starting and does not answer at http://127.0.0.1:19642"):
        steps(world).release()
    assert registry.read(TASK).aliases == {"champion": "1", "challenger": "2"} and len(decisions()) == 1


@pytest.mark.parametrize(
    "error",
    [
        Fault(6, "SHUTDOWN_STATE"),
        TimeoutError(),
        ConnectionResetError(),
        BadStatusLine(""),
        ProtocolError("", 500, "", {}),
    ],
)
def test_a_supervisor_that_does_not_say_is_not_one_without_a_gateway(
    world: World, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr(supervisor, "_proxy", lambda: SimpleNamespace(getProcessInfo=lambda _: _raise(error)))
    with pytest.raises(TransientError, match="the gateway is starting and does not answer"):
        steps(world).release()
    assert registry.read(TASK).aliases == {"champion": "1", "challenger": "2"} and len(decisions()) == 1


@pytest.mark.parametrize("error", [FileNotFoundError(), ConnectionRefusedError(), Fault(10, "BAD_NAME")])
def test_without_a_supervisor_or_a_program_of_that_name_there_is_no_gateway(
    world: World, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr(supervisor, "_proxy", lambda: SimpleNamespace(getProcessInfo=lambda _: _raise(error)))
    assert gateway.presence(world.params.gateway) is gateway.Presence.ABSENT


def _raise(error: Exception) -> None:
    raise error


def test_a_gateway_that_does_not_start_stops_the_release(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    status(monkeypatch, "FATAL")
    with pytest.raises(AnnealError, match="the gateway does not start .*release.canary to off"):
        steps(world).release()
    assert registry.read(TASK).aliases == {"champion": "1", "challenger": "2"}


def test_a_gateway_that_comes_up_meanwhile_gets_the_canary(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    status(monkeypatch, "STARTING")
    monkeypatch.setattr(gateway, "PATIENCE", 30.0)
    over = threading.Event()

    def come_up() -> None:
        time.sleep(1.0)
        with serving.gateway(PORT + 2, {"revision": 1}):
            over.wait(60)

    thread = threading.Thread(target=come_up)
    thread.start()
    try:
        run = steps(world)
        assert run.release() and run.released[0].startswith("canary open")
    finally:
        over.set()
        thread.join()


def test_where_others_keep_the_gateway_out_of_sight_a_canary_opens(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANNEAL_SLOTS", "external")  # in containers the pipeline does not see the gateway's loopback
    run = steps(world)
    assert (
        run.release() and run.released[0].startswith("canary open") and registry.read(TASK).aliases["champion"] == "1"
    )


@pytest.mark.parametrize("call", CALLS)
def test_a_registry_that_stumbles_once_stops_the_release_and_nothing_moves(
    world: World, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import TEMPORARILY_UNAVAILABLE

    real, left, run = getattr(MlflowClient, call), [1], steps(world)

    def stumble(*given: object) -> object:
        if left and left.pop():
            raise MlflowException("locked", TEMPORARILY_UNAVAILABLE)
        return real(*given)

    monkeypatch.setattr(MlflowClient, call, stumble)
    with serving.gateway(PORT + 2, {"revision": 1}):
        with pytest.raises(TransientError, match="the registry cannot be queried: .*locked"):
            run.release()
        assert not left and registry.read(TASK).aliases == {"champion": "1", "challenger": "2"} and run.released == ()
        assert run.release() and run.released[0].startswith("canary open")


def test_a_version_that_the_gate_refused_meanwhile_is_refused(world: World) -> None:
    run = steps(world, canary="off")
    registry.tag(version_of("2"), gate="refused", gate_reasons="✗ worse")
    with pytest.raises(AnnealError, match="things version 2 was refused by the gate"):
        run.release()
    with (
        serving.gateway(PORT + 2, {"revision": 1}),
        pytest.raises(AnnealError, match=r"refused by the gate \(✗ worse\), so it gets no canary"),
    ):
        steps(world).release()
    assert registry.read(TASK).aliases == {"champion": "1", "challenger": "2"}


def test_it_waits_for_another_process_that_holds_the_lock(world: World) -> None:
    hold = (
        "import time\nfrom tasks.serve.reconcile.step import locked\nwith locked():\n    print('held', "
        "flush=True)\n    time.sleep(3600)"
    )
    holder = subprocess.Popen([sys.executable, "-c", hold], stdout=subprocess.PIPE, text=True, env=_environment())
    try:
        assert holder.stdout.readline() == "held\n"
        run, moved = steps(world, canary="off"), threading.Event()
        thread = threading.Thread(target=_then(run.release, moved))
        thread.start()
        assert not moved.wait(2.0) and registry.read(TASK).aliases == {"champion": "1", "challenger": "2"}
        holder.kill()  # the kernel lets go of the lock
        assert moved.wait(60) and registry.read(TASK).aliases == {"champion": "2", "previous": "1"}
        thread.join()
    finally:
        holder.kill()
        holder.wait()


def _environment() -> dict[str, str]:
    import os

    return os.environ | {"PYTHONPATH": str(ROOT)}


def _then(work: Callable[[], object], done: threading.Event) -> Callable[[], None]:
    def run() -> None:
        work()
        done.set()

    return run
