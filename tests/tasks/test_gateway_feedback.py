"""Feedback and commands: whose requests, what a correction must be, who may ask for what; keys, contracts and the
parts of the gateway by themselves.
"""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.errors import AnnealError
from tasks.serve.gateway import keys
from tasks.serve.gateway.errors import Refusal
from tasks.serve.gateway.limits import AdmissionQueue
from tasks.serve.gateway.stream import events
from tasks.serve.params import Records
from tests.tasks.gateway import RunningGateway, running_gateway

pytestmark = pytest.mark.slow  # each test starts servers or processes

RIGHT = {"category": "billing", "intent": "refund", "priority": "high", "reply": "Mail me at a@b.com."}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """One gateway for all."""
    with running_gateway(tmp_path_factory.mktemp("gateway")) as running:
        yield running


@pytest.fixture
def stranger(gateway: RunningGateway) -> Iterator[httpx.Client]:
    """A client with a key of its own, which is no admin's."""
    with httpx.Client(
        base_url=gateway.url,
        headers={"Authorization": f"Bearer {keys.create('stranger', path=gateway.folder / 'keys.json')}"},
    ) as client:
        yield client


def asked(client: httpx.Client) -> str:
    """The id of a request just answered."""
    return client.post("/tasks/triage", json={"text": "hi"}).json()["request_id"]


def test_feedback_is_kept_as_soon_as_the_answer_is_there(gateway: RunningGateway) -> None:
    """Also while the request's own record is still on its way to the database."""
    with gateway.client() as client:
        for _ in range(20):
            assert client.post("/feedback", json={"request_id": asked(client), "thumb": "down"}).status_code == 201
        request_id = asked(client)
        assert (
            client.post("/feedback", json={"request_id": request_id, "thumb": "up", "correction": RIGHT}).status_code
            == 201
        )
    kept = gateway.rows("feedback", 21)[-1]
    assert (kept["request_id"], kept["thumb"], kept["key_id"]) == (request_id, 1, gateway.key.split("-")[1])
    assert kept["correction"] == {**RIGHT, "reply": "Mail me at <EMAIL>."}


WRONG = [
    {"category": "billing"},
    {**RIGHT, "category": "cooking"},
    {**RIGHT, "more": "x"},
    {**RIGHT, "priority": 3},
    {**RIGHT, "reply": [{"text": "a list of a text"}]},
    "billing",
    {},
]


@pytest.mark.parametrize("correction", WRONG, ids=range(len(WRONG)))
def test_a_correction_is_a_whole_answer_or_none(gateway: RunningGateway, correction: object) -> None:
    with gateway.client() as client:
        answer = client.post("/feedback", json={"request_id": asked(client), "correction": correction})
    assert answer.status_code == 422 and answer.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize("more", [{}, {"thumb": "sideways"}, {"thumb": "up", "stars": 5}, {"thumb": 1}])
def test_feedback_says_something(gateway: RunningGateway, more: dict) -> None:
    with gateway.client() as client:
        assert client.post("/feedback", json={"request_id": asked(client), **more}).status_code == 422


def test_a_key_speaks_about_its_own_requests(gateway: RunningGateway, stranger: httpx.Client) -> None:
    """Somebody else's is as unknown as one that never was; an admin may speak about any."""
    with gateway.client() as admin:
        theirs, own = asked(stranger), asked(admin)
        others = stranger.post("/feedback", json={"request_id": own, "thumb": "down"})
        never = stranger.post("/feedback", json={"request_id": "req-never", "thumb": "down"})
        assert others.status_code == never.status_code == 404 and others.json() == never.json()
        assert stranger.post("/feedback", json={"request_id": theirs, "thumb": "down"}).status_code == 201
        assert admin.post("/feedback", json={"request_id": theirs, "thumb": "down"}).status_code == 201


def test_what_was_not_kept_gets_no_feedback(tmp_path: Path) -> None:
    with running_gateway(tmp_path, records=Records(sample=0)) as gateway, gateway.client() as client:
        assert client.post("/feedback", json={"request_id": asked(client), "thumb": "up"}).status_code == 404


def test_a_command_is_an_admins(gateway: RunningGateway, stranger: httpx.Client) -> None:
    body = {"task": "triage", "action": "rollback"}
    assert stranger.post("/admin/commands", json=body).status_code == 403
    with gateway.client() as admin:
        made = admin.post("/admin/commands", json=body)
        assert made.status_code == 202
        command = admin.get(f"/admin/commands/{made.json()['id']}").json()
        assert (command["task"], command["action"]) == ("triage", "rollback")
        assert command["done_at"] is None and command["result"] is None
        assert stranger.get("/admin/commands/1").status_code == 403
        assert (
            admin.get("/admin/commands/99999").status_code == admin.get(f"/admin/commands/{10**30}").status_code == 404
        )
        assert admin.post("/admin/commands", json={"task": "nobody", "action": "promote"}).status_code == 404
        assert admin.post("/admin/commands", json={"task": "triage", "action": "explode"}).status_code == 422
        assert admin.get("/admin/commands/x").status_code == 422


def test_a_key_is_made_by_one_line_and_listed_without_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    for words in (["alice"], ["bob", "--admin"], ["--list"]):
        monkeypatch.setattr("sys.argv", ["keys", *words])
        keys._main()
    lines = capsys.readouterr().out.splitlines()
    alice, bob, *listing = [line for line in lines if not line.startswith("{")]  # but for the log of the other tests
    store = keys.KeyStore(keys.STORE)
    assert store.find(alice) == keys.Caller(alice[7:15], "alice") and store.find(bob).admin
    assert (
        store.find(alice[:-1] + ("x" if alice[-1] != "x" else "y")) is None
        and store.find("") is None
        and store.find("ä" * 60) is None
    )
    assert len(listing) == 2 and not any(key.split("-", 2)[2] in line for key in (alice, bob) for line in listing)
    with pytest.raises(AnnealError, match="no key"):
        keys.revoke("00000000")


def test_keys_made_at_the_same_time_are_all_there(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    threads = [
        threading.Thread(target=keys.create, args=(f"user {number}",), kwargs={"path": path}) for number in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    store = keys.KeyStore(path)
    store.find("")
    assert len(store.entries) == 12


def test_a_torn_key_file_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    key, store = keys.create("alice", path=path), keys.KeyStore(path)
    assert store.find(key)
    path.write_text("{ torn")
    assert store.find(key)
    path.unlink()
    assert store.find(key) is None


def test_a_label_of_a_correction_is_compared_and_kept_cleaned(gateway: RunningGateway) -> None:
    """`billing ` is billing, in data as in corrections."""
    with gateway.client() as client:
        request_id = asked(client)
        correction = {**RIGHT, "category": "billing \r\n", "priority": "\ufeffhigh"}
        assert client.post("/feedback", json={"request_id": request_id, "correction": correction}).status_code == 201
        wrong = client.post("/feedback", json={"request_id": request_id, "correction": {**RIGHT, "x" * 9000: ""}})
    assert wrong.status_code == 422 and len(wrong.json()["error"]["message"]) < 500
    kept = next(row["correction"] for row in gateway.rows("feedback") if row["request_id"] == request_id)
    assert (kept["category"], kept["priority"]) == ("billing", "high")


@given(st.lists(st.binary(max_size=20).map(lambda part: part.replace(b"x", b"\n\n")), max_size=12))
def test_events_are_cut_and_no_byte_is_lost(pieces: list[bytes]) -> None:
    async def cut() -> list[bytes]:
        async def source():
            for piece in pieces:
                yield piece

        return [event async for event in events(source())]

    cuts = asyncio.run(cut())
    assert b"".join(cuts) == b"".join(pieces)
    assert all(event.endswith(b"\n\n") and b"\n\n" not in event[:-2] for event in cuts[:-1])


def test_places_go_in_order_and_a_waiter_that_leaves_takes_none() -> None:
    async def story() -> None:
        queue, order = AdmissionQueue(1, 3, 0.3), []

        async def visit(name: str) -> None:
            await queue.enter()
            order.append(name)
            await asyncio.sleep(0.01)
            queue.leave()

        await queue.enter()
        tasks = [asyncio.create_task(visit(name)) for name in "abc"]
        await asyncio.sleep(0)
        with pytest.raises(Refusal) as full:
            await queue.enter()
        assert full.value.status == 429 and full.value.wait
        tasks[1].cancel()
        await asyncio.sleep(0)
        queue.leave()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert order == ["a", "c"] and queue.is_idle() and queue.running == queue.waiting == 0
        await queue.enter()
        with pytest.raises(Refusal) as late:
            await queue.enter()
        assert late.value.status == 503 and queue.waiting == 0

    asyncio.run(story())
