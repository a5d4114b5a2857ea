"""While its canary is open, nothing is left to do for a version: the reconciler promotes it or takes it back."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from flows import full_run
from flows.steps import Steps
from tasks.files import write_json
from tasks.serve import routes, verify
from tasks.serve.reconcile import canaries, step
from tasks.steps import deploy as deploying
from tasks.versions import registry
from tests.flows import ran
from tests.flows.ran import ARTIFACT, answered, report, run
from tests.tasks import serving
from tests.tasks.promoting import promote, under_lock, version_of
from tests.tasks.serving import TASK, World

pytestmark = pytest.mark.slow
PORT = 19750
SUMMARY = Path(f"reports/{TASK}/summary.json")


@pytest.fixture
def world(store: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A second version whose canary is open beside the champion, routed to; both are served."""
    monkeypatch.setattr(deploying, "_verify", lambda url, version, params: verify.Parity(4, 0.99, 0.98, 3))
    with ran.world(tmp_path, monkeypatch, PORT) as made:
        made.serve("a")
        first = run(made)
        first.deploy()
        promote(first.version)
        write_json(Path(f"models/{TASK}/adapter/artifact.json"), ARTIFACT | {"artifact_sha256": "c" * 64})
        answered("champion", right=False)
        Path(f"reports/{TASK}/champion/{'a' * 64}").touch()
        second = run(made)
        assert second.verdict.passed and second.deploy()
        under_lock(canaries.release, "2", made.params.release, None)
        step.once(made.params)
        yield made


@pytest.fixture
def gateway(world: World) -> Iterator[ExitStack]:
    """A gateway that runs until this is closed; what was seen then is reported."""
    with ExitStack() as stack:
        stack.enter_context(serving.gateway(world.params.gateway.port, {"revision": 1}))
        report(again(world))
        yield stack


def again(world: World) -> Steps:
    """The steps of a second run, which has come to its gate."""
    made = Steps(world.params, TASK)
    made.gate()
    made.version = version_of("2")
    return made


def is_done(world: World) -> bool:
    return full_run.is_done(Steps(world.params, TASK))


def test_nothing_is_left_to_do_and_nothing_is_changed(world: World, gateway: ExitStack) -> None:
    tags, table = version_of("2").tags, routes.read()
    assert tags["canary"] == "open" and table.tasks[TASK].canary == "share"
    assert is_done(world) and version_of("2").tags == tags and routes.read() == table
    assert json.loads(SUMMARY.read_text(encoding="utf-8"))["is_on_trial"]


def test_a_table_that_says_otherwise_than_the_registry_is_work(world: World, gateway: ExitStack) -> None:
    task = routes.read().tasks[TASK]
    champion, challenger = task.targets["champion"], task.targets["challenger"]
    for other in (
        replace(task, targets={"champion": champion}),
        replace(task, targets={"champion": challenger, "challenger": challenger}),
        replace(task, targets={"champion": replace(champion, url="http://127.0.0.1:1/v1"), "challenger": challenger}),
        replace(task, canary="off"),
        replace(task, share=0.9),
        replace(task, since=1.0),
    ):
        routes.write(routes.Table(9, {TASK: other}))
        report(again(world))
        assert not is_done(world), other
    routes.write(routes.Table(10, {TASK: task}))
    report(again(world))
    assert is_done(world)


def test_a_version_that_is_not_loaded_is_work(world: World, gateway: ExitStack) -> None:
    loaded = world.stubs["a"].adapters
    for name in (f"{TASK}@1", f"{TASK}@2"):
        kept = loaded.pop(name)
        assert not is_done(world), name
        loaded[name] = kept
    assert is_done(world)


def test_without_a_gateway_nobody_compares(world: World, gateway: ExitStack) -> None:
    gateway.close()
    report(again(world))
    assert not is_done(world)


def test_a_canary_that_is_closed_or_is_not_the_only_one_is_work(world: World, gateway: ExitStack) -> None:
    registry.tag(version_of("1"), canary="open")  # of two the reconciler closes one
    assert not is_done(world)
    registry.tag(version_of("1"), canary=None)
    assert is_done(world)
    for closed in ("undecided", None):
        registry.tag(version_of("2"), canary=closed)
        report(again(world))
        assert not is_done(world), closed
