"""Rows that are too long for the server are no part of the parity check: counted and named, and no reason to refuse
a version.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.dialogues.chat import encode_answer, encode_prompt, load_tokenizer
from tasks.errors import AnnealError
from tasks.files import write_jsonl
from tasks.serve import verify
from tasks.serve.params import Deploy
from tasks.steps import deploy
from tasks.versions import registry
from tests import tiny
from tests.stub_vllm import Stub, running

pytestmark = pytest.mark.slow  # each test trains, or loads a model

VERSION = registry.Version("things", "2", "artifact", "run", {})


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.make_base(tmp_path_factory.mktemp("base") / "tiny")


@pytest.fixture
def predictions(base: Path) -> list[dict]:
    """Four rows as a tuned model answers them; the second has a long prompt."""
    tokenizer = load_tokenizer(base)
    rows = tiny.prepared_rows(0, 4)
    for i, row in enumerate(rows):
        row["messages"][-1]["content"] += " and so on" * (60 if i == 1 else 20)
    return [
        {
            **row,
            "text": row["answer"],
            "token_ids": encode_answer(tokenizer, row["answer"])[:-1],
            "finished": True,
        }
        for row in rows
    ]


@pytest.fixture
def server(base: Path, predictions: list[dict]) -> Iterator[tuple[str, Stub]]:
    """A server that says what the tuned model said, and refuses what is too long for it."""
    tokenizer = load_tokenizer(base)
    known = {tuple(encode_prompt(tokenizer, row["messages"])): row["token_ids"] for row in predictions}

    def tokens(body: dict) -> tuple[list[int], list[int]]:
        if "messages" in body:
            prompt = encode_prompt(tokenizer, body["messages"])
            return prompt, [*known[tuple(prompt)], tokenizer.eos_token_id][: body["max_tokens"]]
        prompt = next(prompt for prompt in known if body["prompt"][: len(prompt)] == list(prompt))
        rest = known[prompt][len(body["prompt"]) - len(prompt) :]
        return body["prompt"], rest[: body["max_tokens"]]

    stub = Stub(tokens=tokens, adapters={"things@2": ""})
    with running(stub) as url:
        yield url, stub


def verified(
    url: str, base: Path, predictions: list[dict], monkeypatch: pytest.MonkeyPatch, folder: Path, **params: object
) -> verify.Parity:
    write_jsonl(folder / "predictions.jsonl", predictions)
    monkeypatch.setattr(deploy, "folder", lambda version, what: base if what == "adapter" else folder)
    return deploy._verify(url, VERSION, Deploy(**params))


def lengths(base: Path, predictions: list[dict]) -> list[int]:
    tokenizer = load_tokenizer(base)
    return [len(encode_prompt(tokenizer, row["messages"])) + len(row["token_ids"]) + 1 for row in predictions]


def test_a_row_that_is_too_long_is_named_and_the_others_are_compared(
    server: tuple[str, Stub],
    base: Path,
    predictions: list[dict],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    url, stub = server
    longest = max(length for i, length in enumerate(lengths(base, predictions)) if i != 1)
    stub.max_model_len = longest
    parity = verified(url, base, predictions, monkeypatch, tmp_path, max_model_len=longest)
    assert parity == verify.Parity(3, 1.0, 1.0, 3)
    assert capsys.readouterr().out == (
        f"things@2: the parity check leaves out 1 of the test rows, longer than deploy.max_model_len, {longest} "
        "tokens, with their answers: thing-0001\n"
    )


def test_all_rows_are_compared_where_they_fit(
    server: tuple[str, Stub],
    base: Path,
    predictions: list[dict],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    url, stub = server
    stub.max_model_len = max(lengths(base, predictions))
    assert verified(url, base, predictions, monkeypatch, tmp_path, max_model_len=stub.max_model_len).prompts == 4
    assert (
        verified(
            url, base, predictions, monkeypatch, tmp_path, max_model_len=stub.max_model_len, parity_prompts=2
        ).prompts
        == 2
    )
    assert capsys.readouterr().out == ""


def test_nothing_is_left_to_compare_is_refused_with_the_key(
    server: tuple[str, Stub], base: Path, predictions: list[dict], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(
        AnnealError,
        match=r"^things@2 cannot be verified: all 4 test rows are longer than deploy\.max_model_len, 64 tokens, with "
        r"their answers; raise it",
    ):
        verified(server[0], base, predictions, monkeypatch, tmp_path, max_model_len=64)
