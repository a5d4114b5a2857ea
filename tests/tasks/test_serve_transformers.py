"""The server on transformers answers what evaluation answered, in OpenAI's words, and refuses in a sentence what it
does not do.
"""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
import uvicorn
from openai import OpenAI

from tasks.files import read_jsonl
from tasks.serve import slots, verify
from tasks.serve.transformers.app import create_app
from tasks.serve.transformers.worker import Worker

pytestmark = pytest.mark.slow  # each test trains, or loads a model


@contextmanager
def serving(weights: Path, **versions: Path) -> Iterator[str]:
    """The server on a free port of this process, with `versions` loaded; yields its URL with /v1."""
    worker = Worker(weights, 512)
    for name, folder in versions.items():
        worker.load(name, folder).result()
    server = uvicorn.Server(uvicorn.Config(create_app(worker), port=0, log_level="critical"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/v1"
    finally:
        server.should_exit = True
        thread.join(10)


@pytest.fixture(scope="module")
def url(base: Path, packaged: SimpleNamespace) -> Iterator[str]:
    with serving(base, things=packaged.adapter) as found:
        yield found


@pytest.fixture(scope="module")
def rows(evaluated: Path) -> list[dict]:
    """What evaluation asked and was answered."""
    return read_jsonl(evaluated / "predict" / "predictions.jsonl")


@pytest.fixture(scope="module")
def client(url: str) -> OpenAI:
    return OpenAI(base_url=url, api_key="none", max_retries=0)


def post(url: str, path: str = "chat/completions", **body: object) -> httpx.Response:
    return httpx.post(f"{url}/{path}", json={"model": "things", "max_tokens": 60, "temperature": 0, **body}, timeout=60)


def test_it_passes_the_parity_check(url: str, packaged: SimpleNamespace, rows: list[dict]) -> None:
    parity = verify.check_parity(url, "things", packaged.adapter, rows[:8], 512, 1.0)
    assert (parity.prompts, parity.share, parity.unforced, parity.identical) == (8, 1.0, 1.0, 8)


def test_a_chat_answers_what_evaluation_was_answered(client: OpenAI, rows: list[dict]) -> None:
    answer = client.chat.completions.create(
        model="things",
        messages=rows[0]["messages"],
        temperature=0,
        max_tokens=60,
        extra_body={"return_token_ids": True},
    )
    assert answer.choices[0].message.content == rows[0]["text"] and answer.choices[0].finish_reason == "stop"
    assert answer.choices[0].token_ids[:-1] == rows[0]["token_ids"]
    assert answer.usage.completion_tokens == len(rows[0]["token_ids"]) + 1
    assert answer.usage.prompt_tokens == len(answer.prompt_token_ids)


def test_a_stream_adds_up_to_the_whole_answer(client: OpenAI, rows: list[dict]) -> None:
    events = list(
        client.chat.completions.create(
            model="things",
            messages=rows[0]["messages"],
            temperature=0,
            max_tokens=60,
            stream=True,
            stream_options={"include_usage": True},
            extra_body={"return_token_ids": True},
        )
    )
    pieces = [event for event in events if event.choices]
    assert len(pieces) > 5 and pieces[0].choices[0].delta.role == "assistant"
    assert "".join(event.choices[0].delta.content or "" for event in pieces) == rows[0]["text"]
    tokens = [token for event in pieces for token in getattr(event.choices[0], "token_ids", None) or []]
    assert tokens[:-1] == rows[0]["token_ids"] and pieces[-1].choices[0].finish_reason == "stop"
    assert events[-1].usage.completion_tokens == len(tokens)


def test_completions_take_text_and_token_ids_and_several_of_them(url: str, client: OpenAI, rows: list[dict]) -> None:
    ids = post(url, messages=rows[0]["messages"], return_token_ids=True).json()["prompt_token_ids"]
    one = post(url, "completions", prompt=ids, return_token_ids=True).json()["choices"][0]
    assert one["text"] == rows[0]["text"] and one["prompt_token_ids"] == ids
    both = post(url, "completions", prompt=[ids, ids[:9]], n=2, max_tokens=3).json()
    assert [choice["index"] for choice in both["choices"]] == [0, 1, 2, 3]
    text = post(url, "completions", prompt=["a red boat", "big"], max_tokens=3, ignore_eos=True).json()
    assert len(text["choices"]) == 2 and text["usage"]["completion_tokens"] == 6
    assert both["choices"][0]["text"] == both["choices"][1]["text"] and both["usage"]["completion_tokens"] == 12
    assert both["choices"][0]["finish_reason"] == "length"


def test_a_stop_text_ends_an_answer_and_no_part_of_it_is_sent(url: str, rows: list[dict]) -> None:
    text = rows[0]["text"]
    stop = text[10:14]
    whole = post(url, messages=rows[0]["messages"], stop=[stop, "never"]).json()["choices"][0]
    assert whole["message"]["content"] == text[: text.index(stop)] and whole["finish_reason"] == "stop"
    stream = post(url, messages=rows[0]["messages"], stop=stop, stream=True).text
    events = [json.loads(line.removeprefix("data: ")) for line in stream.split("\n\n") if "{" in line]
    assert "".join(event["choices"][0]["delta"].get("content", "") for event in events) == text[: text.index(stop)]
    assert stream.endswith("data: [DONE]\n\n")


def test_sampling_with_a_seed_gives_the_same_answer_again(url: str, rows: list[dict]) -> None:
    ask = {"messages": rows[0]["messages"], "temperature": 3.0, "top_p": 0.9, "max_tokens": 20}
    first, again, other = (post(url, **ask, seed=seed).json()["choices"][0]["message"] for seed in (1, 1, 2))
    assert first == again != other


def test_an_answer_follows_a_json_schema(url: str, rows: list[dict]) -> None:
    schema = {
        "type": "object",
        "properties": {"mood": {"enum": ["lukewarm", "icy"]}},
        "required": ["mood"],
        "additionalProperties": False,
    }
    wanted = {"type": "json_schema", "json_schema": {"name": "mood", "schema": schema}}
    for body in ({"response_format": wanted}, {"guided_json": schema}, {"structured_outputs": {"json": schema}}):
        text = post(url, messages=rows[0]["messages"], **body).json()["choices"][0]["message"]["content"]
        assert json.loads(text)["mood"] in ("lukewarm", "icy")


def test_two_requests_at_once_both_get_their_answers(url: str, rows: list[dict]) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda row: post(url, messages=row["messages"]).json(), rows[:8]))
    assert [answer["choices"][0]["message"]["content"] for answer in answers] == [row["text"] for row in rows[:8]]


@pytest.mark.parametrize(
    ("status", "words", "changes"),
    [
        (400, "`logprobs` is not supported: this model is served by transformers", {"logprobs": True}),
        (400, "`presence_penalty` is not supported", {"presence_penalty": 0.5}),
        (400, "`colour` is not supported", {"colour": "red"}),
        (400, "`structured_outputs` may have `json` only", {"structured_outputs": {"regex": "a+"}}),
        (400, "JSON schema that cannot be followed", {"guided_json": '{"type": "nothing"}'}),
        (400, "`top_p` is not valid", {"top_p": 2}),
        (400, "`max_tokens` is not valid", {"max_tokens": 0}),
        (400, "`messages` is missing or empty", {"messages": None}),
        (400, "context length is 512 tokens", {"messages": [{"role": "user", "content": "a red boat " * 200}]}),
        (400, "messages[0] must have a role", {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}),
        (404, "The model `other` does not exist", {"model": "other"}),
    ],
)
def test_what_is_not_done_is_refused_in_a_sentence(
    url: str, rows: list[dict], status: int, words: str, changes: dict
) -> None:
    answer = post(url, **{"messages": rows[0]["messages"], **changes})
    error = answer.json()["error"]
    assert (
        answer.status_code == status
        and words in error["message"]
        and set(error) == {"message", "type", "param", "code"}
    )


def test_settings_that_change_nothing_are_taken(url: str, rows: list[dict]) -> None:
    more = {"presence_penalty": 0, "logit_bias": {}, "user": "me", "tool_choice": "auto", "logprobs": False, "n": 1}
    assert post(url, messages=rows[0]["messages"], **more).status_code == 200


def test_an_answer_may_ask_for_more_tokens_than_there_is_room_for(url: str, rows: list[dict]) -> None:
    answer = post(url, messages=rows[0]["messages"], max_tokens=512).json()
    assert answer["choices"][0]["message"]["content"] == rows[0]["text"]


def test_a_prompt_of_unknown_tokens_is_refused(url: str) -> None:
    assert post(url, "completions", prompt=[10**6]).status_code == 400


def test_versions_are_loaded_and_unloaded_as_in_vllm(url: str, packaged: SimpleNamespace, rows: list[dict]) -> None:
    slots.load(url, "things@2", str(packaged.adapter))
    slots.load(url, "things@2", str(packaged.adapter))
    assert set(verify.served_names(url)) == {"things", "things@2"} and verify.is_healthy(url)
    assert (
        post(url, model="things@2", messages=rows[1]["messages"]).json()["choices"][0]["message"]["content"]
        == rows[1]["text"]
    )
    slots.unload(url, "things@2")
    slots.unload(url, "things@2")
    assert verify.served_names(url) == ["things"] and slots.is_idle(url)


def test_a_client_that_hangs_up_makes_room(url: str, rows: list[dict]) -> None:
    body = {"messages": rows[0]["messages"], "ignore_eos": True, "max_tokens": 400}
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{url}/chat/completions", json={"model": "things", **body}, timeout=0.3)
    began = time.monotonic()
    assert post(url, messages=rows[0]["messages"]).status_code == 200 and time.monotonic() - began < 2
    assert slots.is_idle(url)
