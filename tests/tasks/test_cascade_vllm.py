"""Real vLLM behind a real labeller: an adapter that comes at run time, the same after a kill, and merged weights."""

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from openai import OpenAI
from openai.types.chat import ChatCompletionChunk

from tasks import labeller
from tasks.cascade import Cascade, cascade
from tasks.chat import load_tokenizer
from tasks.errors import AnnealError
from tasks.files import read_jsonl
from tasks.merge import write_merged
from tasks.serve import probe, server_command, slots, state
from tasks.tuned import answer
from tests import encoders, tellers, tiny

pytestmark = [pytest.mark.slow, pytest.mark.minutes]  # it trains, and starts vLLM three times

NAME, ANSWER, SECONDS = "things@1", tuple(tiny.PREPARE.answer), 180
OPTIONS = {"max_model_len": 512, "max_lora_rank": 16, "kv_cache_gib": 1}


@pytest.fixture(scope="module")
def made(base: Path, tmp_path_factory: pytest.TempPathFactory, _empty_store: Path) -> SimpleNamespace:
    """`base`, `adapter` with its labeller, `merged`, `predictions`; what is told is noise."""
    place = tmp_path_factory.mktemp("cascade")
    plain = tiny.write_prepared(place / "toys", 64)
    learnt, encoder = tellers.write_learnt(place / "labels", plain), encoders.make_base(place / "encoder")
    heads, prepared = tellers.write_heads(place / "heads", encoder, learnt), place / "prepared"
    params = Cascade(dataset="toys", model="teller", trained_on="labels")
    cascade(params, plain, learnt, encoder, heads, prepared, place / "report")
    test = read_jsonl(prepared / "test.jsonl")[:8]
    adapter = tiny.train_in(place, base, prepared, num_train_epochs=3).adapter
    predictions = answer(base, adapter, test, 8, 40, "tuned").predictions
    merged = place / "merged"
    merged.mkdir()
    write_merged(base, adapter, test, 0.1, merged)
    for folder in (merged, adapter):
        shutil.copytree(prepared / labeller.FOLDER, folder / labeller.FOLDER)
        for file in (*base.glob("*token*"), base / "chat_template.jinja"):
            shutil.copy(file, folder / file.name)
    return SimpleNamespace(base=base, adapter=adapter, merged=merged, predictions=predictions)


@contextmanager
def vllm(asked: state.State, log: Path) -> Iterator[subprocess.Popen]:
    with log.open("w") as file:
        environment = {**os.environ, **server_command.environment(asked)}
        program = subprocess.Popen(
            server_command.command(asked), stdout=file, stderr=file, env=environment, start_new_session=True
        )
    try:
        deadline = time.monotonic() + SECONDS
        while not probe.is_healthy(asked.url):
            assert program.poll() is None and time.monotonic() < deadline, log.read_text()[-3000:]
            time.sleep(0.5)
        yield program
    finally:
        os.killpg(program.pid, signal.SIGKILL)
        program.wait(30)


def wanted(weights: Path, **served: dict[str, state.Served]) -> state.State:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return state.State(str(weights), "127.0.0.1", free.getsockname()[1], OPTIONS, **served)


def served(folder: Path) -> dict[str, state.Served]:
    return {NAME: state.Served("1", "x", str(folder))}


def check(url: str, made: SimpleNamespace) -> None:
    """Whole, in a stream and in several choices, the answer is the labels that were told and what was written."""
    parity = probe.check_parity(url, NAME, made.adapter, made.predictions, 512, 0.9)
    assert parity.prompts == 8
    row, client = made.predictions[0], OpenAI(base_url=url, api_key="none", max_retries=0)
    asked = {"model": NAME, "messages": row["messages"], "temperature": 0, "max_tokens": 40}
    whole = client.chat.completions.create(**asked)
    text, usage = whole.choices[0].message.content, whole.usage
    assert text.startswith(row["given"]) and json.loads(text).keys() == set(ANSWER)
    assert usage.prompt_tokens == len(probe.ask(url, NAME, ("chat/completions", asked), 1)["prompt_token_ids"])
    assert usage.completion_tokens < len(load_tokenizer(made.base)(text)["input_ids"])  # what was told is not written
    (streamed,) = written(client.chat.completions.create(**asked, stream=True), 1)
    assert "".join(streamed) == text and streamed[0] == row["given"]
    asked["temperature"] = 2.0
    for pieces in written(client.chat.completions.create(**asked, n=2, stream=True), 2):
        assert pieces[0] == row["given"] and len(pieces) > 2
    hot = client.chat.completions.create(**{**asked, "max_tokens": 200}, n=8, response_format={"type": "json_object"})
    finished = [choice.message.content for choice in hot.choices if choice.finish_reason == "stop"]
    assert finished and all(json.loads(text).keys() == set(ANSWER) for text in finished)


def written(stream: Iterator[ChatCompletionChunk], count: int) -> list[list[str]]:
    """The pieces of each of `count` choices."""
    choices = [choice for event in stream for choice in event.choices]
    return [[choice.delta.content or "" for choice in choices if choice.index == index] for index in range(count)]


def test_an_adapter_that_comes_at_run_time_is_labelled_also_after_a_kill(made: SimpleNamespace, tmp_path: Path) -> None:
    empty = wanted(made.base)
    with vllm(empty, tmp_path / "log") as program:
        damaged = shutil.copytree(made.adapter, tmp_path / "damaged")
        (damaged / labeller.FOLDER / "head.safetensors").write_bytes(b"no")
        with pytest.raises(AnnealError, match="could not load things@2: .*the labeller of things@2"):
            slots.load(empty.url, "things@2", str(damaged))
        assert probe.served_names(empty.url) == ["base"]
        slots.load(empty.url, NAME, str(made.adapter))
        slots.load(empty.url, NAME, str(made.adapter))
        check(empty.url, made)
        os.kill(program.pid, signal.SIGKILL)
        program.wait(30)
    asked = wanted(made.base, adapters=served(made.adapter))
    with vllm(asked, tmp_path / "log"):
        check(asked.url, made)
        slots.load(asked.url, NAME, str(made.adapter))
        slots.unload(asked.url, NAME)
        gone = httpx.post(f"{asked.url}/chat/completions", json={"model": NAME, "messages": []})
        assert gone.status_code == 404


def test_merged_weights_are_labelled(made: SimpleNamespace, tmp_path: Path) -> None:
    asked = wanted(made.merged, merged=served(made.merged))
    with vllm(asked, tmp_path / "log"):
        check(asked.url, made)
