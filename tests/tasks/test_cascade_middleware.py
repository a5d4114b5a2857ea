"""The labeller in front of a server that writes, a stub: who is labelled, what trouble is, what comes and goes."""

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from tasks.errors import AnnealError
from tasks.models import labeller
from tasks.serve.cascade.middleware import Cascade
from tasks.serve.cascade.start import LABELLERS
from tests.stub_vllm import Stub
from tests.tasks.gateway import events

pytestmark = pytest.mark.slow  # the thread of the labellers loads torch

GIVEN = '{"category": "billing", "reply":'
REST = ' "Hello."}'
CHAT, LOAD, UNLOAD = "/v1/chat/completions", "/v1/load_lora_adapter", "/v1/unload_lora_adapter"
thinking, others_answered = threading.Event(), threading.Event()  # of a classifier that thinks slowly
Do = Callable[[httpx.AsyncClient], Awaitable[Any]]


@pytest.fixture(autouse=True)
def classifier(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The questions that a classifier is asked, which takes a file named `damaged` for a damage."""
    asked: list[str] = []
    thinking.clear()
    others_answered.clear()

    def load(folder: Path) -> SimpleNamespace:
        if (folder / "damaged").exists():
            raise AnnealError("head.json is missing; package again.")
        return SimpleNamespace(answer=("category", "reply"))

    def tell(_: object, messages: list[dict]) -> str:
        asked.append(messages[-1]["content"])
        if "divide by zero" in asked[-1]:
            raise ZeroDivisionError("planted")
        if "slowly" in asked[-1]:
            thinking.set()
            assert others_answered.wait(60)
        return GIVEN

    monkeypatch.setattr(labeller, "load", load)
    monkeypatch.setattr(labeller, "predict_beginning", tell)
    monkeypatch.setenv(LABELLERS, "{}")
    return asked


@pytest.fixture
def stub() -> Stub:
    return Stub(answer=lambda body: REST, adapters={"plain@1": ""}, load_delay=0.0)


def version(place: Path, is_damaged: bool = False) -> str:
    (place / labeller.FOLDER).mkdir(parents=True)
    if is_damaged:
        (place / labeller.FOLDER / "damaged").touch()
    return str(place)


def run(stub: Stub, work: Do) -> Any:
    async def all_of_it() -> Any:
        transport = httpx.ASGITransport(Cascade(stub))
        async with httpx.AsyncClient(transport=transport, base_url="http://vllm") as client:
            return await work(client)

    return asyncio.run(all_of_it())


def chat(model: str = "things@1", text: str = "hi", **more: object) -> dict:
    return {"model": model, "messages": [{"role": "user", "content": text}], **more}


def text(answer: httpx.Response) -> str:
    return answer.json()["choices"][0]["message"]["content"]


def test_a_version_that_comes_at_run_time_is_labelled_until_it_goes(tmp_path: Path, stub: Stub) -> None:
    async def work(client: httpx.AsyncClient) -> None:
        here = {"lora_name": "things@1", "lora_path": version(tmp_path / "kept")}
        loaded = await client.post(LOAD, json=here)
        assert (loaded.status_code, loaded.headers["x-anneal-labeller"]) == (200, "yes")
        assert (await client.post(LOAD, json=here)).headers["x-anneal-labeller"] == "yes"  # it was there already
        assert text(await client.post(CHAT, json=chat())) == GIVEN + REST
        assert stub.bodies[-1]["messages"][-1] == {"role": "assistant", "content": GIVEN}
        assert text(await client.post(CHAT, json=chat("plain@1"))) == REST  # beside it
        assert len(stub.bodies[-1]["messages"]) == 1
        assert (await client.post(UNLOAD, json={"lora_name": "things@1"})).status_code == 200
        stub.adapters["things@1"] = ""
        assert text(await client.post(CHAT, json=chat())) == REST

    run(stub, work)


def test_one_that_is_served_from_the_start_is_labelled_at_once_and_where_no_model_is_named(
    tmp_path: Path, stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = version(tmp_path / "kept")
    monkeypatch.setenv(LABELLERS, json.dumps({"base": kept, "": kept}))

    async def work(client: httpx.AsyncClient) -> None:
        whole = (await client.post(CHAT, json=chat("base", n=2))).json()
        assert [choice["message"]["content"] for choice in whole["choices"]] == [GIVEN + REST] * 2
        streamed = events((await client.post(CHAT, json=chat("base", stream=True))).text)
        assert "".join(event["choices"][0]["delta"]["content"] for event in streamed) == GIVEN + REST
        await client.post(CHAT, json={**chat(), "model": None})
        assert stub.bodies[-1]["continue_final_message"]

    run(stub, work)


def test_what_the_labeller_is_not_meant_for_passes_byte_for_byte(
    tmp_path: Path, stub: Stub, monkeypatch: pytest.MonkeyPatch, classifier: list[str]
) -> None:
    monkeypatch.setenv(LABELLERS, json.dumps({"base": version(tmp_path / "kept")}))
    dialogue = chat("base", messages=[{"role": role, "content": "hi"} for role in ("user", "assistant", "user")])

    async def work(client: httpx.AsyncClient) -> None:
        assert text(await client.post(CHAT, json=dialogue)) == REST and stub.bodies[-1] == dialogue
        prompt = {"model": "base", "prompt": "hi"}
        assert (await client.post("/v1/completions", json=prompt)).status_code == 200 and stub.bodies[-1] == prompt
        assert (await client.get("/health")).status_code == 200

    run(stub, work)
    assert classifier == []


def test_trouble_of_the_labeller_is_one_sentence_and_never_an_answer_without_labels(
    tmp_path: Path, stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = {"base": version(tmp_path / "kept"), "plain@1": version(tmp_path / "bad", is_damaged=True)}
    monkeypatch.setenv(LABELLERS, json.dumps(named))

    async def work(client: httpx.AsyncClient) -> None:
        failed = await client.post(CHAT, json=chat("base", "divide by zero"))
        assert failed.status_code == 500
        assert failed.json()["error"]["message"] == "the labeller of base failed: ZeroDivisionError: planted"
        again = {"lora_name": "plain@1", "lora_path": named["plain@1"]}
        assert (await client.post(LOAD, json=again)).status_code == 500  # it is served all the same, and stays refused
        assert (await client.post(CHAT, json=chat("plain@1"))).status_code == 500
        assert text(await client.post(CHAT, json=chat("base"))) == GIVEN + REST
        assert [body["model"] for body in stub.bodies] == ["base"]

    run(stub, work)


def test_a_damaged_labeller_refuses_the_load_until_it_is_mended(tmp_path: Path, stub: Stub) -> None:
    here = {"lora_name": "things@1", "lora_path": version(tmp_path / "kept", is_damaged=True)}

    async def work(client: httpx.AsyncClient) -> None:
        refused = await client.post(LOAD, json=here)
        said = f"the labeller of things@1 in {here['lora_path']} cannot be loaded: head.json is missing; package again."
        assert (refused.status_code, refused.json()["error"]["message"]) == (500, said)
        assert "things@1" not in stub.adapters
        (tmp_path / "kept" / labeller.FOLDER / "damaged").unlink()
        assert (await client.post(LOAD, json=here)).status_code == 200 and "things@1" in stub.adapters

    run(stub, work)


def test_others_are_answered_while_a_labeller_thinks(
    tmp_path: Path, stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(LABELLERS, json.dumps({"base": version(tmp_path / "kept")}))

    async def work(client: httpx.AsyncClient) -> None:
        await client.post(CHAT, json=chat("base"))  # once it is loaded
        slow = asyncio.create_task(client.post(CHAT, json=chat("base", "slowly")))
        assert await asyncio.to_thread(thinking.wait, 60)
        assert text(await client.post(CHAT, json=chat("plain@1"))) == REST and not slow.done()
        others_answered.set()
        assert text(await slow) == GIVEN + REST

    run(stub, work)


def test_the_labeller_reads_a_special_text_as_it_was_written_and_who_writes_reads_it_as_text(
    tmp_path: Path, stub: Stub, monkeypatch: pytest.MonkeyPatch, classifier: list[str]
) -> None:
    monkeypatch.setenv(LABELLERS, json.dumps({"base": version(tmp_path / "kept")}))
    monkeypatch.setattr(
        labeller, "predict_beginning", lambda _, messages: classifier.append(messages[-1]["content"]) or "<s>" + GIVEN
    )
    monkeypatch.setattr("tasks.serve.cascade.prefill.with_beginning", lambda body, given, _: {**body, "given": given})
    monkeypatch.setattr(
        "tasks.serve.cascade.middleware.with_beginning", lambda body, given, _: {**body, "given": given}
    )
    asked = chat("base", "<\u2060|im_end|> ends a turn")
    run(stub, lambda client: client.post(CHAT, json=asked))
    assert classifier == ["<|im_end|> ends a turn"]
    assert stub.bodies == [{**asked, "given": "<\u2060s>" + GIVEN}]
