"""The first model of a CPU, which is merged, becomes an adapter beside the second, and answers all the while."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.errors import AnnealError
from tasks.files import read_json, sha256, write_json, write_jsonl
from tasks.params import Params
from tasks.records import database
from tasks.serve import routes, state, verify
from tasks.serve.reconcile.step import once
from tasks.steps import deploy as deploying
from tasks.steps.change_form import Regrouping, regroup
from tasks.versions import promotion, registry, verdict_tags
from tests.stub_vllm import Stub, running
from tests.tasks import serving
from tests.tasks.promoting import promote, version_of
from tests.tasks.serving import BASE, TASK, World

pytestmark = pytest.mark.slow  # each test starts servers and a registry
PORT, OTHER = 19160, "others"
GOOD = verify.Parity(4, 0.99, 0.98, 3)


def params(world: World, serve: str = "auto") -> Params:
    """With two models on one base."""
    deploy = world.params.deploy.model_copy(update={"serve": serve})
    models = dict.fromkeys((TASK, OTHER), world.params.models[TASK])
    return world.params.model_copy(update={"deploy": deploy, "models": models})


def second(world: World) -> None:
    """The champion of the other row, an adapter on slot b."""
    adapter, evaluate = world.folder / "made/second/adapter", world.folder / "made/second/evaluate"
    write_jsonl(adapter / "adapter_model.safetensors", [{"weights": "second"}])
    write_jsonl(evaluate / "predictions.jsonl", [{"id": "1", "text": "second"}])
    parts = {"adapter_model.safetensors": sha256(adapter / "adapter_model.safetensors")}
    facts = {"artifact_sha256": "hash-of-second", "base_sha256": BASE, "parts": parts}
    write_json(adapter / "artifact.json", facts)
    tags = {"gate": "passed", verdict_tags.COMPARED: verdict_tags.NOTHING, "base_sha256": BASE, "served_as": "adapter"}
    promote(promotion.register(OTHER, adapter, evaluate, tags, {}))
    world.serve("b", since=2.0)


@pytest.fixture
def world(store: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Version 1 answers from merged weights on slot a, and the other row's champion as an adapter on slot b."""
    monkeypatch.setattr(deploying, "_verify", lambda url, version, params: GOOD)
    with serving.world(tmp_path, monkeypatch, PORT) as made:
        version = made.version("one", served_as="merged")
        promote(version)
        merged = state.FOLDER / f"{state.adapter_folder(TASK, version.artifact)}-merged"
        merged.mkdir(parents=True)
        made.stubs["a"] = Stub(base="things@1")
        made.stack.enter_context(running(made.stubs["a"], PORT))
        entry = {"things@1": state.Served("1", version.artifact, str(merged))}
        where = {"host": "127.0.0.1", "options": state.options(made.params.deploy), "verified": True}
        state.write("a", state.State(str(merged), port=PORT, merged=entry, since=1.0, **where))
        once(params(made))
        second(made)
        write_json(state.base_folder(BASE) / "source.json", {"weights_sha256": BASE})
        once(params(made))
        yield made


def regrouped(params: Params) -> list[Regrouping]:
    return regroup(params, registry.read_all(params.models))


def urls() -> dict[str, str]:
    """Task: where its champion is routed."""
    return {name: task.targets["champion"].url for name, task in routes.read().tasks.items()}


def decisions() -> list[tuple[str, str, str, dict]]:
    engine = database.connect()
    with engine.connect() as connection:
        rows = [(row.task, row.kind, row.verdict, row.facts) for row in connection.execute(database.decisions.select())]
    engine.dispose()
    return [row for row in rows if row[1] == "serve"]


HERE, THERE = f"http://127.0.0.1:{PORT}/v1", f"http://127.0.0.1:{PORT + 1}/v1"


def test_a_merged_champion_becomes_an_adapter_beside_the_second_and_its_server_is_stopped(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert urls() == {TASK: HERE, OTHER: THERE}
    seen: list[dict[str, str]] = []
    write = routes.write
    monkeypatch.setattr(routes, "write", lambda table, *more: (write(table, *more), seen.append(urls())))
    monkeypatch.setattr("tasks.serve.reconcile.step.GRACE", 0.0)
    [move] = regrouped(params(world))
    assert move.done and "things: version 1 from merged to adapter" in move.words
    assert urls() == {TASK: THERE, OTHER: THERE} and all(table.keys() == {TASK, OTHER} for table in seen)
    assert set(world.stubs["b"].adapters) >= {"things@1"} and world.stopped == ["vllm-a"] and state.read("a") is None
    assert set(state.read("b").adapters) == {"things@1", "others@1"}
    assert decisions() == [(TASK, "serve", "moved", {"version": "1", "from": "merged", "to": "adapter"})]
    assert version_of("1").tags["served_as"] == "adapter"
    assert read_json(deploying.parity_file("hash-of-one"))["share"] == 0.99
    assert regrouped(params(world)) == [] and len(decisions()) == 1


def test_one_that_disagrees_as_an_adapter_stays_merged_and_it_is_said(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> verify.Parity:
        raise AnnealError("they disagree; the deployment is refused.")

    monkeypatch.setattr(deploying, "_verify", refuse)
    [move] = regrouped(params(world))
    assert not move.done and move.words.endswith("they disagree; the deployment is refused")
    once(params(world))
    assert urls() == {TASK: HERE, OTHER: THERE} and "things@1" not in world.stubs["b"].adapters
    assert [entry[2] for entry in decisions()] == ["held"] and version_of("1").tags["served_as"] == "merged"


def test_nobody_is_moved_while_a_canary_compares_two_versions_or_where_a_person_has_set_the_form(world: World) -> None:
    registry.tag(world.version("two", served_as="merged"), canary="open")
    [move] = regrouped(params(world))
    assert not move.done and "its canary is open" in move.words and urls()[TASK] == HERE

    for serve in ("merged", "adapter"):  # and what a person has set moves nobody beside who is deployed
        assert regrouped(params(world, serve)) == []
