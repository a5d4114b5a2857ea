"""A version runs on a server of the form in which it was verified, and on no other."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.serve import routes, state
from tasks.serve.reconcile import once
from tests.tasks import serving
from tests.tasks.promoting import promote
from tests.tasks.serving import TASK, World

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
    assert "tasks.serve.transformers" in state.command(asked)
    stub = world.serve("b", since=2.0, engine="transformers")
    world.version("two", served_as="transformers")
    once(world.params)
    assert versions() == {"champion": "1", "challenger": "2"} and set(stub.adapters) == {"things@1", "things@2"}
    assert not world.stubs["a"].adapters and set(state.read("b").adapters) == {"things@1", "things@2"}


def test_a_version_is_served_in_the_form_in_which_it_was_verified(world: World) -> None:
    promote(world.version("one", served_as="merged"))
    world.serve("a")
    merged = Path(state.FOLDER) / f"{state.adapter_folder(TASK, 'hash-of-one')}-merged"
    assert "things@1 waits for a server" in once(world.params).pending and not world.started  # its weights are gone
    merged.mkdir()
    once(world.params)
    asked = state.read("b")
    assert asked and (asked.form, asked.weights, [*asked.merged]) == ("merged", str(merged), ["things@1"])


def test_a_model_whose_weights_were_all_trained_is_served_from_its_own_folder(world: World) -> None:
    folder = state.FOLDER / state.adapter_folder(TASK, "hash-of-one")
    assert state.merged_folder(folder).name.endswith("-merged")
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    assert state.merged_folder(folder) == folder
