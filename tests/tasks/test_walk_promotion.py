"""An alias from command to routed traffic: how many functions and modules it passes, and what the registry is asked.

What `make promote` and the pipeline's release do until the registry, the records and the routing table have it.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.steps import Steps
from tasks import params as settings
from tasks import paths
from tasks.errors import AnnealError
from tasks.files import write_json
from tasks.records import decisions
from tasks.serve import routes, supervisor, verify
from tasks.serve.reconcile.step import once
from tasks.steps import deploy as deploying
from tasks.steps import release
from tasks.versions import tracking
from tests.tasks import serving
from tests.tasks.promoting import version_of
from tests.tasks.serving import TASK, World
from tests.tasks.walks import Walk, walked

pytestmark = pytest.mark.slow  # each test starts servers
PORT = 19780
EFFECTS = ((decisions, "write"), (routes, "write"))
QUESTIONS = ["get_registered_model", "search_model_versions"]


@pytest.fixture
def world(store: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Version 1 answers, version 2 is loaded and passed; the process has no client of the registry yet."""
    with serving.world(tmp_path, monkeypatch, PORT) as made:
        serving.begin(made, serving.champion_and_challenger)
        made.serve("a")
        once(made.params)
        monkeypatch.setattr(settings, "load", lambda: made.params)
        tracking._open.cache_clear()
        yield made


def champion() -> str:
    return routes.read().tasks[TASK].targets["champion"].version


def is_short(walk: Walk) -> bool:
    return len(walk.functions) <= 12 and len(walk.modules) <= 6


def test_make_promote_passes_few_functions_and_asks_three_times(world: World) -> None:
    with walked(*EFFECTS) as walk:
        release.promote(TASK, force=False)
    assert champion() == "2" and is_short(walk), [*walk.functions]
    assert walk.questions == ["get_experiment_by_name", *QUESTIONS]


def test_a_challenger_that_no_server_has_is_deployed_first_unless_the_gate_refused_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    verified: list[str] = []
    parity = verify.Parity(4, 0.99, 0.98, 3)
    monkeypatch.setattr(deploying, "_verify", lambda url, version, _: verified.append(version.version) or parity)
    write_json(paths.weights(world.params.models[TASK].parent) / "source.json", {"weights_sha256": serving.BASE})
    world.version("three", parity=False, gate="refused")
    with pytest.raises(AnnealError, match="things version 3 was refused by the gate"):
        release.promote(TASK, force=False)
    assert champion() == "1" and verified == []
    release.promote(TASK, force=True)
    assert champion() == "3" and verified == ["3"]
    with pytest.raises(AnnealError, match="things has no @challenger to promote"):
        release.promote(TASK, force=True)


@pytest.mark.parametrize("canary", ["off", "share"])
def test_a_release_of_the_pipeline_passes_few_functions_and_asks_twice(world: World, canary: str) -> None:
    release = world.params.release.model_copy(update={"canary": canary})
    steps = Steps(world.params.model_copy(update={"release": release}), TASK)
    steps.version = version_of("2")  # so its process has a client
    with serving.gateway(world.params.gateway.port, {"revision": 9}), walked(*EFFECTS) as walk:
        assert steps.release()
    assert champion() == ("2" if canary == "off" else "1") and routes.read().tasks[TASK].canary == canary
    assert is_short(walk), [*walk.functions]
    assert walk.questions == QUESTIONS


def test_a_process_has_one_client(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "status", lambda program: "STOPPED")
    with walked() as walk:
        for _ in range(3):
            version_of("1")
    assert walk.questions == ["get_experiment_by_name", *QUESTIONS * 3]
