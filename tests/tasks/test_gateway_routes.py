"""Which version answers follows the routing table at once: promotions, canaries, shadows and readiness."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tasks.serve import routes
from tests.stub_vllm import ANSWER, Stub
from tests.tasks.gateway import chat, events, running_gateway, target, wait_for, with_canary, write_folder

pytestmark = pytest.mark.slow  # each test starts servers or processes


def test_a_promotion_is_a_new_table(tmp_path: Path) -> None:
    """The very next request after the table is written goes to the new champion, with the new champion's template."""
    with running_gateway(tmp_path) as gateway, gateway.client() as client:
        assert client.post("/tasks/triage", json={"text": "hi"}).json()["version"] == "1"
        url = gateway.state.follower.table.tasks["triage"].targets["champion"].url
        kept = write_folder(tmp_path / "other", user="{{ body }}!")
        for revision, version in enumerate(("2", "1") * 5 + ("2",), start=2):
            routes.write(
                routes.Table(revision, {"triage": routes.Task({"champion": target(url, kept, version)})}),
                tmp_path / "routes.json",
            )
            assert client.post("/tasks/triage", json={"text": "hi"}).json()["version"] == version
        assert gateway.stub.bodies[-1]["messages"][1]["content"] == "hi!"
        assert gateway.metric("anneal_routes_revision") == revision
        (tmp_path / "routes.json").write_text("{ torn")
        assert client.post("/tasks/triage", json={"text": "hi"}).json()["version"] == "2"


def test_promotions_under_load_cut_nobody(tmp_path: Path) -> None:
    """Each answer comes from the version that its header names, whole, however often the table changes meanwhile."""
    with running_gateway(tmp_path, Stub(adapters={"triage@1": "", "triage@2": ""}, delay=0.02)) as gateway:
        first, second = (
            gateway.state.follower.table.tasks["triage"].targets[alias] for alias in ("champion", "challenger")
        )
        over = threading.Event()

        def ask(number: int) -> set[str]:
            models = set()
            with gateway.client() as client:
                while not over.is_set():
                    answer = client.post("/v1/chat/completions", json=chat(stream=number % 2 == 0))
                    assert answer.status_code == 200
                    named = events(answer.text)[-1]["model"] if number % 2 == 0 else answer.json()["model"]
                    assert named == answer.headers["x-anneal-version"]
                    assert number % 2 or answer.text.endswith("data: [DONE]\n\n")
                    models.add(named)
            return models

        with ThreadPoolExecutor(4) as pool:
            asking = [pool.submit(ask, number) for number in range(4)]
            for revision in range(2, 8):
                champion, previous = (second, first) if revision % 2 == 0 else (first, second)
                gateway.route(
                    routes.Table(revision, {"triage": routes.Task({"champion": champion, "previous": previous})})
                )
            over.set()
            assert set.union(*(asked.result() for asked in asking)) == {"triage@1", "triage@2"}
        assert gateway.state.metrics._running == {} and gateway.stub.cancelled == 0


def test_a_canary_gets_its_share(tmp_path: Path) -> None:
    with running_gateway(tmp_path) as gateway, gateway.client() as client:
        gateway.route(with_canary(gateway.state.follower.table, "share", 0.5))
        answered = [client.post("/v1/chat/completions", json=chat()).headers["x-anneal-version"] for _ in range(40)]
        assert 5 < answered.count("triage@2") < 35
        roles = {row["version"]: row["role"] for row in gateway.rows(least=40)}
        assert roles == {"1": "champion", "2": "canary"}


def test_a_shadow_is_asked_and_its_answer_logged_only(tmp_path: Path) -> None:
    with running_gateway(tmp_path) as gateway, gateway.client() as client:
        gateway.route(with_canary(gateway.state.follower.table, "shadow"))
        for more in ({}, {"stream": True}):
            answer = client.post("/v1/chat/completions", json=chat(**more))
            assert answer.headers["x-anneal-version"] == "triage@1"
        client.post("/tasks/triage", json={"text": "hi"})
        rows = gateway.rows(least=6)
        shadows = [row for row in rows if row["role"] == "shadow"]
        assert sorted(row["shadow_of"] for row in shadows) == sorted(
            row["id"] for row in rows if row["role"] == "champion"
        )
        assert all(row["version"] == "2" and row["valid"] and row["output"] == ANSWER for row in shadows)
        assert gateway.state.metrics._running == {}


def test_a_shadow_that_cannot_be_asked_takes_no_answer_from_a_client(tmp_path: Path) -> None:
    """Its template needs a subject that is not empty, the champion's does not."""
    with running_gateway(tmp_path) as gateway, gateway.client() as client:
        task = gateway.state.follower.table.tasks["triage"]
        url = task.targets["champion"].url
        strict = target(url, write_folder(tmp_path / "strict", context="body"), "2")
        targets = {**task.targets, "challenger": strict}
        gateway.route(routes.Table(2, {"triage": routes.Task(targets, "shadow")}))
        answer = client.post("/tasks/triage", json={"input": {"subject": "", "body": "hi"}})
        assert answer.status_code == 200 and answer.json()["valid"]
        assert gateway.metric("anneal_refused_total", reason="shadow_dropped") == 1
        assert [row["role"] for row in gateway.rows()] == ["champion"]


def test_readiness_is_the_champions(tmp_path: Path) -> None:
    with running_gateway(tmp_path) as gateway, gateway.client() as client:
        wait_for(lambda: client.get("/ready").status_code == 200, "readiness")
        assert gateway.metric("anneal_backend_up") == 1
        gateway.stub.healthy = False
        wait_for(lambda: client.get("/ready").status_code == 503, "trouble")
        assert client.get("/health").status_code == 200
        gateway.route(routes.Table(5, {"triage": routes.Task({})}))
        assert "champion" in client.get("/ready").json()["reason"]
        refused = client.post("/tasks/triage", json={"text": "hi"})
        assert refused.status_code == 503 and refused.headers["retry-after"]
