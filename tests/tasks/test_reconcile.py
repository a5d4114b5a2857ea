"""Servers and routing table follow the registry: loaded before routed, drained before unloaded, and never worse off
for what is away.
"""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.serve import routes, state
from tasks.serve.reconcile import canaries
from tasks.serve.reconcile.reader import Reader
from tasks.serve.reconcile.step import once
from tasks.versions import promotion, registry
from tests.tasks import serving
from tests.tasks.promoting import promote, under_lock, version_of
from tests.tasks.serving import TASK, World

PORT = 19100


@pytest.fixture
def world(store: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A project with an empty registry and nothing on its slots."""
    monkeypatch.setattr(
        "tasks.serve.reconcile.step.GRACE", 30.0
    )  # a machine with much to do must not outlive it by chance
    with serving.world(tmp_path, monkeypatch, PORT) as made:
        yield made


@pytest.fixture
def two(world: World) -> World:
    """Version 1 is the champion, version 2 the challenger, and slot a can serve both."""
    serving.begin(world, serving.champion_and_challenger)
    world.serve("a")
    once(world.params)
    return world


def versions() -> dict[str, str]:
    """Alias: version, as routed."""
    return {alias: target.version for alias, target in routes.read().tasks.get(TASK, routes.Task()).targets.items()}


def age_table(seconds: float = 60) -> None:
    """Let the table have been there for `seconds`."""
    then = time.time() - seconds
    for file in (routes.TABLE, *(state.path(slot) for slot in state.read_all())):
        os.utime(file, (then, then))


def test_verified_versions_are_loaded_under_names_of_their_own_and_routed(two: World) -> None:
    assert versions() == {"champion": "1", "challenger": "2"}
    assert set(two.stubs["a"].adapters) == {"things@1", "things@2"}
    target = routes.read().tasks[TASK].targets["champion"]
    assert (target.model, target.url) == ("things@1", f"http://127.0.0.1:{PORT}/v1")
    assert (Path(target.folder) / "artifact.json").exists()
    assert set(state.read("a").adapters) == {"things@1", "things@2"}  # with which the server comes back


def test_a_step_that_finds_all_in_order_changes_nothing(two: World) -> None:
    before, mark = routes.read(), routes.TABLE.stat().st_mtime_ns
    outcome = once(two.params)
    assert (
        outcome.table == before
        and outcome.did == ()
        and outcome.pending == ()
        and routes.TABLE.stat().st_mtime_ns == mark
    )


def test_a_version_without_a_parity_check_is_not_routed(two: World) -> None:
    two.version("three", parity=False)
    once(two.params)
    assert versions() == {"champion": "1"} and "things@3" not in two.stubs["a"].adapters


def test_promotion_and_rollback_are_new_tables_and_load_nothing_in_place(two: World) -> None:
    first = routes.read().revision
    promote(version_of("2"))
    once(two.params)
    assert versions() == {"champion": "2", "previous": "1"} and routes.read().revision == first + 1
    under_lock(promotion.roll_back, "by hand")
    once(two.params)
    assert versions() == {"champion": "1", "challenger": "2"} and routes.read().revision == first + 2
    assert set(two.stubs["a"].adapters) == {"things@1", "things@2"}


def test_a_restarted_server_gets_back_what_it_lost(two: World) -> None:
    two.stubs["a"].adapters.clear()
    assert len(once(two.params).did) == 2
    assert set(two.stubs["a"].adapters) == {"things@1", "things@2"} and versions() == {
        "champion": "1",
        "challenger": "2",
    }


def test_a_server_that_is_down_keeps_its_routes_and_gets_no_new_ones(two: World) -> None:
    before = routes.read()
    two.stubs["a"].healthy = False
    two.version("three")
    once(two.params)
    assert (
        versions() == {"champion": "1"}
        and routes.read().tasks[TASK].targets["champion"] == before.tasks[TASK].targets["champion"]
    )


def test_a_champion_that_is_not_loaded_yet_leaves_the_traffic_with_the_old_one(two: World) -> None:
    two.version("three", base="c" * 64)
    promote(version_of("3"))
    (state.base_folder("c" * 64)).mkdir(parents=True)
    outcome = once(two.params)
    assert (
        versions()["champion"] == "1" and two.started == ["vllm-b"] and "things@3 waits for a server" in outcome.pending
    )
    age_table()
    for _ in range(2):  # it is started once, however long it takes, and is not taken for one that nobody uses
        assert "things@3 is waiting for its server to answer" in once(two.params).pending
    assert two.started == ["vllm-b"] and not two.stopped
    stub = two.serve("b", base="c" * 64, since=2.0)
    once(two.params)
    assert versions() == {"champion": "3"} and set(stub.adapters) == {
        "things@3"
    }  # @previous would need the old server alone
    assert state.read("a") and not two.stopped
    age_table()
    once(two.params)
    assert two.stopped == ["vllm-a"] and state.read("a") is None and versions() == {"champion": "3"}
    two.started.clear()
    under_lock(promotion.roll_back, "by hand")
    once(two.params)
    assert versions()["champion"] == "3" and two.started == ["vllm-a"]


def test_a_server_with_other_options_takes_everything_over_and_the_old_one_is_stopped(two: World) -> None:
    two.serve("b", since=2.0)
    once(two.params)
    assert {target.url for target in routes.read().tasks[TASK].targets.values()} == {f"http://127.0.0.1:{PORT + 1}/v1"}
    assert versions() == {"champion": "1", "challenger": "2"} and two.stopped == []
    age_table()
    once(two.params)
    assert two.stopped == ["vllm-a"]


def test_a_version_is_unloaded_only_when_the_gateway_follows_the_table_and_none_of_its_requests_runs(
    two: World,
) -> None:
    two.version("three")
    stub, followed = two.stubs["a"], {"revision": 1, "in_flight": {"things@2": 0}}
    with serving.gateway(two.params.gateway.port, followed):
        for change in ({"revision": 1}, {"revision": 2, "in_flight": {"things@2": 1}}):
            followed.update(change)
            once(two.params)
            age_table()
            assert once(two.params).pending == ("things@2 drains",) and "things@2" in stub.adapters
        followed.update({"revision": 2, "in_flight": {"things@2": 0, "things@1": 7}})
        once(two.params)
    assert set(stub.adapters) == {"things@1", "things@3"}


def test_a_gateway_that_is_too_busy_to_say_unloads_nothing(two: World) -> None:
    import socket

    two.version("three")
    with socket.create_server(("127.0.0.1", two.params.gateway.port)):  # takes connections and never answers
        once(two.params)
        age_table()
        assert once(two.params).pending == ("things@2 drains",) and "things@2" in two.stubs["a"].adapters


def test_a_gateway_of_before_the_route_is_unknown_and_unloads_nothing(two: World) -> None:
    two.version("three")
    with serving.gateway(two.params.gateway.port, None):
        once(two.params)
        age_table()
        assert once(two.params).pending == ("things@2 drains",) and "things@2" in two.stubs["a"].adapters


def test_without_a_gateway_a_version_is_unloaded_after_a_grace(two: World) -> None:
    two.version("three")
    assert once(two.params).pending == ("things@2 drains",)
    age_table()
    assert once(two.params).pending == () and set(two.stubs["a"].adapters) == {"things@1", "things@3"}


def test_an_empty_registry_does_not_take_away_what_answers(two: World) -> None:
    before = routes.read()
    assert once(two.params, lambda names: {}).table == before


def test_an_adapter_that_does_not_load_keeps_no_other_away(two: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from tasks.errors import AnnealError
    from tasks.serve import slots

    real = slots.load

    def load(url: str, model: str, path: str) -> None:
        if model == "things@3":
            raise AnnealError("planted")
        real(url, model, path)

    monkeypatch.setattr(slots, "load", load)
    two.version("three")
    two.stubs["a"].adapters.clear()
    once(two.params)
    assert versions() == {"champion": "1"}


def test_an_open_canary_is_in_the_table_with_the_share_it_was_opened_with(two: World) -> None:
    under_lock(canaries.open_canary, "2", two.params.release)
    once(two.params)
    task = routes.read().tasks[TASK]
    assert (task.canary, task.share) == ("share", 0.2) and time.time() - task.since < 60
    assert (
        routes.resolve(routes.read(), TASK, 0.19).target.version == "2"
        and routes.resolve(routes.read(), TASK, 0.2).target.version == "1"
    )


def test_the_registry_is_read_again_only_when_it_was_written_to(two: World, monkeypatch: pytest.MonkeyPatch) -> None:
    reader, asked = Reader(), []
    real = registry.read
    monkeypatch.setattr(registry, "read", lambda name, *client: asked.append(name) or real(name, *client))
    first = reader.read([TASK])
    assert reader.read([TASK]) == first and asked == [TASK]
    promote(version_of("2"))
    assert reader.read([TASK])[TASK].aliases["champion"] == "2" and asked[-1] == TASK
