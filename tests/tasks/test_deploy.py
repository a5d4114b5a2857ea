"""A deployment makes a version available and changes nobody's answers; one that fails leaves nothing behind."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tasks.errors import AnnealError
from tasks.files import write_json
from tasks.serve import routes, state, verify
from tasks.serve.reconcile.step import once
from tasks.steps import deploy as deploying
from tasks.versions import promotion, registry
from tests.tasks import serving
from tests.tasks.promoting import promote, version_of
from tests.tasks.serving import BASE, TASK, World

pytestmark = pytest.mark.slow  # each test trains, or loads a model

PORT = 19120
GOOD = verify.Parity(4, 0.99, 0.98, 3)


@pytest.fixture
def world(store: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Version 1 answers from slot a; version 2 is registered and on no server."""
    monkeypatch.setattr(deploying, "_verify", lambda url, version, params: GOOD)
    with serving.world(tmp_path, monkeypatch, PORT) as made:
        write_json(Path("weights/source.json"), {"weights_sha256": BASE})
        write_json(Path("other/source.json"), {"weights_sha256": "c" * 64})
        promote(made.version("one"))
        made.serve("a")
        once(made.params)
        made.version("two", parity=False)
        yield made


def deploy(
    world: World, version: registry.Version, weights: str = "weights", **changes: Any
) -> tuple[str, verify.Parity]:
    return deploying.deploy(
        version,
        Path(weights),
        world.params.model_copy(update={"deploy": world.params.deploy.model_copy(update=changes)}),
        {},
    )


def refuse(*_: object) -> verify.Parity:
    raise AnnealError("they disagree; the deployment is refused.")


def test_a_version_is_loaded_beside_the_champion_and_marked_and_who_answers_stays(world: World) -> None:
    before = routes.read()
    assert not deploying.is_available(version_of("2"), world.params.deploy, {})
    assert deploy(world, version_of("2")) == (f"http://127.0.0.1:{PORT}/v1", GOOD)
    assert version_of("2").tags["parity"] == "0.9900" and deploying.is_available(
        version_of("2"), world.params.deploy, {}
    )
    assert (
        routes.read() == before and set(world.stubs["a"].adapters) == {"things@1", "things@2"} and world.started == []
    )
    once(world.params)
    assert routes.read().tasks[TASK].targets["champion"] == before.tasks[TASK].targets["champion"]


def test_a_version_that_disagrees_leaves_nothing_behind(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deploying, "_verify", refuse)
    before, kept = routes.read(), state.read_all()
    with pytest.raises(AnnealError, match="the deployment is refused"):
        deploy(world, version_of("2"))
    assert set(world.stubs["a"].adapters) == {"things@1"} and "parity" not in version_of("2").tags
    once(world.params)
    assert (routes.read(), state.read_all()) == (before, kept)


def test_a_champion_that_is_checked_again_and_disagrees_goes_on_answering(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deploying, "_verify", refuse)
    with pytest.raises(AnnealError):
        deploy(world, version_of("1"))
    assert set(world.stubs["a"].adapters) == {"things@1"}


def test_other_options_start_the_other_slot_and_the_running_one_is_not_touched(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[str] = []

    def start(program: str) -> None:
        started.append(program)
        assert not state.read("b").verified  # on trial: nothing is routed there yet
        once(world.params)
        assert {target.url for target in routes.read().tasks[TASK].targets.values()} == {f"http://127.0.0.1:{PORT}/v1"}
        world.stack.enter_context(serving.running(serving.Stub(), PORT + 1))

    monkeypatch.setattr("tasks.serve.supervisor.start", start)
    url, _ = deploy(world, version_of("2"), max_model_len=512)
    assert started == ["vllm-b"] and url == f"http://127.0.0.1:{PORT + 1}/v1" and state.read("b").verified
    once(world.params)
    assert {target.url for target in routes.read().tasks[TASK].targets.values()} == {url}


def test_a_new_server_that_fails_is_stopped_and_its_slot_is_free_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        raise AnnealError("vLLM did not start")

    monkeypatch.setattr(verify, "wait_until_healthy", never)
    with pytest.raises(AnnealError, match="did not start"):
        deploy(world, version_of("2"), max_model_len=512)
    assert world.started == ["vllm-b"] and world.stopped == ["vllm-b"] and state.read("b") is None and state.read("a")


def test_a_server_on_trial_that_a_killed_deployment_left_makes_room(world: World) -> None:
    state.write("b", state.State("left", "127.0.0.1", PORT + 1))
    deploy(world, version_of("2"))
    assert state.read("b") is None and world.stopped == ["vllm-b"]


def test_busy_slots_are_one_sentence(world: World) -> None:
    world.serve("b", base="d" * 64)
    world.serve("c", base="e" * 64)
    with pytest.raises(AnnealError, match="all slots are in use .*a: things@1"):
        deploy(world, version_of("2"), max_model_len=512)


def test_other_weights_than_it_was_trained_on_are_refused(world: World) -> None:
    with pytest.raises(AnnealError, match="version 2 was trained on other weights than other holds now"):
        deploy(world, version_of("2"), weights="other")


def test_the_reference_of_a_version_is_kept_with_its_adapter(world: World) -> None:
    write_json(Path("reference/classes.json"), {"category": ["billing"]})
    made = world.folder / "made" / "two"
    three = world.folder / "made" / "three"
    made.rename(three)
    write_json(
        three / "adapter/artifact.json",
        {"artifact_sha256": "hash-of-three", "base_sha256": BASE, "parts": {"adapter_model.safetensors": "3"}},
    )
    version = promotion.register(
        TASK, three / "adapter", three / "evaluate", {"gate": "passed", "base_sha256": BASE}, {}, Path("reference")
    )
    deploy(world, version)
    once(world.params)
    assert (Path(routes.read().tasks[TASK].targets["challenger"].folder) / "reference/classes.json").exists()


@pytest.mark.parametrize(
    ("tuner", "form", "engine"),
    [({"kind": "prompt"}, "transformers", "transformers"), ({"kind": "full"}, "merged", "vllm")],
)
def test_a_version_that_no_adapter_server_takes_gets_one_of_its_kind(
    world: World, monkeypatch: pytest.MonkeyPatch, tuner: dict, form: str, engine: str
) -> None:
    two = world.folder / "made" / "two"
    two.rename(two.with_name("three"))
    write_json(two.with_name("three") / "adapter" / "tuner.json", tuner)
    write_json(two.with_name("three") / "adapter" / "config.json", {})  # whole weights, where all were trained
    three = world.version("three", parity=False)
    started: list[str] = []

    def start(program: str) -> None:
        started.append(program)
        names = {"base": "things@3"} if form == "merged" else {}
        world.stack.enter_context(serving.running(serving.Stub(**names), PORT + 1))

    monkeypatch.setattr("tasks.serve.supervisor.start", start)
    assert not deploying.is_available(three, world.params.deploy, {})
    url, _ = deploy(world, three, serve="auto")
    found = version_of("3")
    assert started == ["vllm-b"] and found.tags["served_as"] == form
    assert state.read("b").verified and (state.read("b").form, state.read("b").engine) == (form, engine)
    auto = world.params.deploy.model_copy(update={"serve": "auto"})
    assert deploying.is_available(found, auto, {})
    promote(found)
    once(world.params)
    assert routes.read().tasks[TASK].targets["champion"].url == url


def test_a_merge_for_a_server_may_change_the_answers_as_far_as_that_of_the_pipeline(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    allowed: list[float] = []

    def merge(weights: Path, adapter: Path, rows: list, max_divergence: float, folder: Path) -> None:
        allowed.append(max_divergence)
        raise AnnealError("the merged weights do not answer as the adapter does.")

    monkeypatch.setattr("tasks.weights.merge.write_merged", merge)
    with pytest.raises(AnnealError, match="do not answer"):
        deploy(world, version_of("2"), serve="merged")
    assert allowed == [world.params.models[TASK].package.max_divergence]
