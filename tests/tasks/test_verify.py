"""Parity with transformers, against a stub that says what it is told token by token."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tasks.dialogues.chat import encode_prompt, load_tokenizer
from tasks.errors import AnnealError
from tasks.serve import verify
from tests import tiny
from tests.stub_vllm import Stub, running

pytestmark = pytest.mark.slow
MODEL = "things@1"
OTHER = 7  # a token that no answer here begins with


@dataclass(frozen=True)
class Greedy:
    """A model that always says the same, token by token."""

    encode: Callable[[list[dict]], list[int]]  # messages → prompt
    next_token: Callable[[list[int]], int]  # all tokens so far → the next one
    end: int  # the token that ends a turn

    def tokens(self, body: dict) -> tuple[list[int], list[int]]:
        """What the stub asks for: the prompt of a request and what comes after it."""
        prompt = self.encode(body["messages"]) if "messages" in body else body["prompt"]
        answer: list[int] = []
        while len(answer) < body["max_tokens"] and self.end not in answer[-1:]:
            answer.append(self.next_token(prompt + answer))
        return prompt, answer


@pytest.fixture(scope="module")
def rows(base: Path) -> list[dict]:
    """Four answers as transformers would have given them."""
    tokenizer = load_tokenizer(base)
    prepared = tiny.prepared_rows(0, 4)
    answers = [tokenizer(row["answer"], add_special_tokens=False)["input_ids"] for row in prepared]
    return [{**row, "token_ids": ids, "finished": True} for row, ids in zip(prepared, answers, strict=True)]


def speaker(
    base: Path, rows: list[dict], changed: dict[tuple[int, int], int] | None = None, system: str = ""
) -> Greedy:
    """A model that gives the answers of `rows`, but at (row, place) says the token of `changed`, and 5 from there on
    unless put back on track.
    """
    tokenizer = load_tokenizer(base)
    told = [(encode_prompt(tokenizer, row["messages"]), [*row["token_ids"], tokenizer.eos_token_id]) for row in rows]

    def next_token(tokens: list[int]) -> int:
        for number, (prompt, answer) in enumerate(told):
            said = tokens[len(prompt) :]
            if tokens[: len(prompt)] == prompt:
                on_track = said == answer[: len(said)] and len(said) < len(answer)
                return (changed or {}).get((number, len(said)), answer[len(said)]) if on_track else 5
        return 5

    def encode(messages: list[dict]) -> list[int]:
        extra = [{"role": "system", "content": system}] if system else []
        return encode_prompt(tokenizer, [*extra, *messages])

    return Greedy(encode, next_token, tokenizer.eos_token_id)


@contextmanager
def served(model: Greedy, **facts: object) -> Iterator[str]:
    with running(Stub(tokens=model.tokens, end=model.end, adapters={MODEL: ""}, **facts)) as url:
        yield url


def check(url: str, base: Path, rows: list[dict], least: float = 0.9) -> verify.Parity:
    return verify.check_parity(url, MODEL, base, rows, 512, least)


def test_a_server_that_says_the_same_agrees_on_every_token(base: Path, rows: list[dict]) -> None:
    with served(speaker(base, rows)) as url:
        assert check(url, base, rows) == verify.Parity(4, 1.0, 1.0, 4)


def test_one_other_token_counts_once_when_it_is_put_back_on_track(base: Path, rows: list[dict]) -> None:
    tokens = sum(len(row["token_ids"]) for row in rows)
    with served(speaker(base, rows, {(1, 3): OTHER})) as url:
        assert verify.next_tokens(
            url, MODEL, encode_prompt(load_tokenizer(base), rows[1]["messages"]), rows[1]["token_ids"]
        ) == [
            *rows[1]["token_ids"][:3],
            OTHER,
            *rows[1]["token_ids"][4:],
        ]
        with pytest.raises(AnnealError, match="EOS mismatch: 1 of 4 answers .*rows thing-0001"):
            check(url, base, rows)  # and by itself it never finds its way back
    turning = {(1, 3): OTHER, (1, 4): OTHER}
    with served(_ending(speaker(base, rows, turning))) as url:
        found = check(url, base, rows)
    assert (found.prompts, found.identical) == (4, 3)
    assert found.share == pytest.approx((tokens - 2) / tokens) and found.unforced < found.share


def _ending(model: Greedy) -> Greedy:
    """The same, but off its track it ends its turn instead of babbling."""
    return Greedy(
        model.encode, lambda tokens: model.end if model.next_token(tokens) == 5 else model.next_token(tokens), model.end
    )


def test_a_share_below_the_least_is_refused_with_both_figures(base: Path, rows: list[dict]) -> None:
    changed = {(row, place): OTHER for row in range(4) for place in range(0, 40, 2)}
    with (
        served(_ending(speaker(base, rows, changed))) as url,
        pytest.raises(AnnealError, match=r"agree on \d\d\.\d% .*min_agreement asks for 90%"),
    ):
        check(url, base, rows)


def test_an_answer_that_vllm_ends_too_soon_differs_where_it_ends(base: Path, rows: list[dict]) -> None:
    end = load_tokenizer(base).eos_token_id
    with served(speaker(base, rows, {(0, 2): end})) as url:
        forced = verify.next_tokens(
            url, MODEL, encode_prompt(load_tokenizer(base), rows[0]["messages"]), rows[0]["token_ids"]
        )
    assert (
        forced[:2] == rows[0]["token_ids"][:2]
        and forced[2] in (end, verify.ENDED)
        and forced[3:] == rows[0]["token_ids"][3:]
    )


def test_another_template_is_refused_with_the_row(base: Path, rows: list[dict]) -> None:
    messages = [{**row, "messages": row["messages"][1:]} for row in rows]
    with (
        served(speaker(base, messages, system="Be brief.")) as url,
        pytest.raises(AnnealError, match="template mismatch: vLLM reads row thing-0000 as .*Be brief"),
    ):
        check(url, base, messages)


def test_a_server_that_refuses_or_does_not_know_the_model_is_one_sentence(base: Path, rows: list[dict]) -> None:
    with (
        served(speaker(base, rows), status=500) as url,
        pytest.raises(AnnealError, match=f"refused a request for {MODEL}"),
    ):
        check(url, base, rows)
    with running(Stub(tokens=speaker(base, rows).tokens)) as url, pytest.raises(AnnealError, match="does not exist"):
        check(url, base, rows)
