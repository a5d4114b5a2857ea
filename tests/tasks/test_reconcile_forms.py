"""A version runs on a server of the form in which it was verified, and on no other."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.files import write_json
from tasks.serve import routes, server_command, state, verify
from tasks.serve.canary import Assessment
from tasks.serve.reconcile import canaries
from tasks.serve.reconcile.step import once
from tasks.steps import deploy as deploying
from tasks.versions import promotion
from tests.tasks import serving
from tests.tasks.promoting import promote, under_lock
from tests.tasks.serving import BASE, TASK, World

PORT = 19140


@pytest.fixture
def world(store: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A project with an empty registry and nothing on its slots."""
    with serving.world(tmp_path, monkeypatch, PORT) as made:
        yield made


def versions() -> dict[str, str]:
    """Alias: version, as routed."""
    return {alias: target.version for alias, target in routes.read().tasks.get(TASK, routes.Task()).targets.items()}


def test_what_transformers_serve_is_loaded_on_such_a_server_only_and_comes_back_there(world: World) -> None:
    promote(world.version("one", served_as="transformers"))
    world.serve("a")  # vLLM, on the same base
    assert "things@1 waits for a server" in once(world.params).pending and world.started == ["vllm-b"]
    asked = state.read("b")
    assert asked and (asked.engine, asked.form, [*asked.adapters]) == ("transformers", "transformers", ["things@1"])
    assert "tasks.serve.transformers" in server_command.command(asked)
    stub = world.serve("b", since=2.0, engine="transformers")
    world.version("two", served_as="transformers")
    once(world.params)
    assert versions() == {"champion": "1", "challenger": "2"} and set(stub.adapters) == {"things@1", "things@2"}
    assert not world.stubs["a"].adapters and set(state.read("b").adapters) == {"things@1", "things@2"}


def test_a_version_is_served_in_the_form_in_which_it_was_verified(world: World) -> None:
    promote(world.version("one", served_as="merged"))
    world.serve("a")
    merged = Path(f"{state.adapter_folder(TASK, 'hash-of-one')}-merged")
    assert "things@1 waits for a server" in once(world.params).pending and not world.started  # its weights are gone
    merged.mkdir()
    once(world.params)
    asked = state.read("b")
    assert asked and (asked.form, asked.weights, [*asked.merged]) == ("merged", str(merged), ["things@1"])


def test_a_classifier_that_vllm_pools_comes_back_on_a_server_of_its_own(world: World) -> None:
    promote(world.version("one", served_as="pooling"))
    world.serve("a")
    pooled = state.pooled_folder(state.adapter_folder(TASK, "hash-of-one"))
    assert "things@1 waits for a server" in once(world.params).pending and not world.started  # its weights are gone
    pooled.mkdir()
    once(world.params)
    asked = state.read("b")
    assert asked and (asked.form, asked.weights, [*asked.merged]) == ("pooling", str(pooled), ["things@1"])
    assert (
        server_command.command(asked)[1:3] == ["-m", "tasks.serve.pooling"]
        and server_command.command(asked)[-1] == "things@1"
    )


def test_a_model_whose_weights_were_all_trained_is_served_from_its_own_folder(world: World) -> None:
    folder = state.adapter_folder(TASK, "hash-of-one")
    assert state.merged_folder(folder).name.endswith("-merged")
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    assert state.merged_folder(folder) == folder


@pytest.mark.slow
def test_what_transformers_serve_is_retrained_tried_promoted_and_rolled_back_on_one_server(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of each kind a new version is deployed beside the champion, gets a canary, takes over, and may be taken back."""
    monkeypatch.setattr(deploying, "_verify", lambda url, version, params: verify.Parity(4, 1.0, 1.0, 4))
    write_json(Path("weights/source.json"), {"weights_sha256": BASE})
    stub, deploy = world.serve("a", engine="transformers"), world.params.deploy.model_copy(update={"serve": "auto"})
    params = world.params.model_copy(update={"deploy": deploy})
    promote(world.version("one", served_as="transformers"))
    once(world.params)
    for number, kind in enumerate(("prompt", "bottleneck"), 2):
        write_json(world.folder / "made" / kind / "adapter" / "tuner.json", {"kind": kind})
        version, before = world.version(kind, parity=False), versions()["champion"]
        url, _ = deploying.deploy(version, Path("weights"), params, {})
        released = under_lock(canaries.release, version.version, world.params.release, None)
        assert released.words.startswith(f"canary open: version {number}")
        once(world.params)
        task = routes.read().tasks[TASK]
        assert (task.canary, versions()["champion"], versions()["challenger"]) == ("share", before, str(number))
        under_lock(canaries.close_canary, version.version, Assessment("promote", ("500 answers, none worse",)))
        once(world.params)
        assert versions()["champion"] == str(number) and versions()["previous"] == before
        assert {target.url for target in routes.read().tasks[TASK].targets.values()} == {url}
        assert set(stub.adapters) >= {f"things@{before}", f"things@{number}"}
    under_lock(promotion.roll_back, "by hand")
    once(world.params)
    assert versions()["champion"] == "2" and not world.started and not world.stopped
