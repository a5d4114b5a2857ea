"""A version with a labeller is verified like any other: how it is started, loaded, asked and compared."""

import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from tasks.dialogues.chat import encode_answer, encode_question, load_tokenizer
from tasks.errors import AnnealError
from tasks.files import write_jsonl
from tasks.models import labeller
from tasks.serve import server_command, slots, state, verify
from tasks.serve.cascade.middleware import Cascade
from tasks.serve.cascade.start import LABELLERS, MIDDLEWARE
from tasks.serve.params import Deploy
from tasks.steps import deploy
from tasks.versions import registry
from tests import tiny
from tests.stub_vllm import Stub, running

NAME = "things@2"
VERSION = registry.Version("things", "2", "artifact", "run", {})


def kept(place: Path) -> str:
    (place / labeller.FOLDER).mkdir(parents=True)
    return str(place)


def asked(place: str, is_merged: bool) -> state.State:
    served = {NAME: state.Served("2", "ab", place)}
    options = state.options(Deploy())
    return state.State("w", "127.0.0.1", 8000, options, **{"merged" if is_merged else "adapters": served})


@pytest.mark.slow
@pytest.mark.parametrize("is_merged", [True, False])
@pytest.mark.parametrize("has_labeller", [True, False])
def test_a_server_asks_labellers_where_one_is_or_may_come(tmp_path: Path, is_merged: bool, has_labeller: bool) -> None:
    place = kept(tmp_path / "kept") if has_labeller else str(tmp_path)
    wanted = asked(place, is_merged)
    words = server_command.command(wanted)
    assert (MIDDLEWARE in words) is (has_labeller or not is_merged)
    unnamed = {"": place} if is_merged else {}  # who names no model asks the one that is there
    told = json.loads(server_command.environment(wanted)[LABELLERS])
    assert told == ({NAME: place, **unnamed} if has_labeller else {})


def test_vllm_finds_the_middleware_under_its_name() -> None:
    module, _, name = MIDDLEWARE.rpartition(".")
    assert getattr(importlib.import_module(module), name) is Cascade


@pytest.mark.slow
def test_a_server_that_asks_no_labeller_keeps_no_version_that_has_one(tmp_path: Path) -> None:
    stub = Stub()
    with running(stub) as url, pytest.raises(AnnealError, match=f"{NAME} has one: `make down && make up`"):
        slots.load(url, NAME, kept(tmp_path / "kept"))
    assert stub.adapters == {}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.make_base(tmp_path_factory.mktemp("base") / "tiny")


@pytest.fixture
def predictions(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict]:
    """Four rows, the labels of which are told; the labeller says the same."""
    tokenizer, rows = load_tokenizer(base), []
    for row in tiny.prepared_rows(0, 4):
        given, rest = labeller.parts(row, ("colour", "mood", "reply"), 2)
        more = {"given": given, "rest": rest, "token_ids": encode_answer(tokenizer, rest)[:-1], "finished": True}
        rows.append({**row, "text": row["answer"], **more})
    known = {row["messages"][-1]["content"]: row["given"] for row in rows}
    monkeypatch.setattr(labeller, "load", lambda folder: SimpleNamespace(answer=("colour", "mood", "reply")))
    monkeypatch.setattr(labeller, "predict_beginning", lambda _, messages: known[messages[-1]["content"]])
    write_jsonl(tmp_path / "predictions.jsonl", rows)
    monkeypatch.setattr(deploy, "folder", lambda version, what: base if what == "adapter" else tmp_path)
    return rows


@pytest.fixture
def server(base: Path, predictions: list[dict], tmp_path: Path) -> Iterator[tuple[str, Stub]]:
    """A server with a labeller, that writes what the tuned model wrote behind its labels."""
    tokenizer = load_tokenizer(base)
    known = {tuple(encode_question(tokenizer, row)): row for row in predictions}

    def behind(body: dict) -> dict:
        """The prediction that a chat with its labels asks for again, or a prompt of tokens."""
        if "messages" in body:
            *messages, turn = body["messages"]
            return known[tuple(encode_question(tokenizer, {"messages": messages, "given": turn["content"]}))]
        return next(row for prompt, row in known.items() if body["prompt"][: len(prompt)] == list(prompt))

    def tokens(body: dict) -> tuple[list[int], list[int]]:
        row = behind(body)
        prompt, written = encode_question(tokenizer, row), [*row["token_ids"], tokenizer.eos_token_id]
        begun = 0 if "messages" in body else len(body["prompt"]) - len(prompt)
        return prompt, written[begun : begun + body["max_tokens"]]

    stub = Stub(tokens=tokens, answer=lambda body: behind(body)["rest"], load_delay=0.0)
    with running(Cascade(stub)) as url:
        slots.load(url, NAME, kept(tmp_path / "kept"))
        yield url, stub


@pytest.mark.slow
def test_the_labels_are_told_the_rest_is_compared_and_a_choice_is_the_whole_answer(
    server: tuple[str, Stub], predictions: list[dict]
) -> None:
    url, _ = server
    assert deploy._verify(url, VERSION, Deploy()) == verify.Parity(4, 1.0, 1.0, 4)
    reply = verify.ask(url, NAME, verify.question(deploy.of_folder(Path()), predictions[0]), 99)
    assert (reply["text"], reply["finished"]) == (predictions[0]["answer"], True)


@pytest.mark.slow
def test_other_labels_than_in_the_evaluation_are_refused(
    server: tuple[str, Stub], predictions: list[dict], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, stub = server
    stub.tokens, stub.answer = lambda body: ([], [1, 2]), lambda body: ' "x"}'
    monkeypatch.setattr(labeller, "predict_beginning", lambda *_: '{"colour": "mauve", "mood": "warm", "reply":')
    with pytest.raises(AnnealError, match=r"begins its answer to row thing-0000 .*mauve.*predicts something else"):
        deploy._verify(url, VERSION, Deploy())


@pytest.mark.slow
def test_labels_behind_which_nothing_is_written_fail_the_smoke_test(server: tuple[str, Stub]) -> None:
    url, stub = server
    stub.answer = lambda body: ""
    with pytest.raises(AnnealError, match="returns nothing in a smoke test"):
        deploy._verify(url, VERSION, Deploy())
