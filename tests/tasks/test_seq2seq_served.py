"""A tuned encoder-decoder is packaged, and served by transformers with the tokens of evaluation."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest

from tasks.errors import AnnealError
from tasks.files import read_json, read_jsonl
from tasks.serve import verify
from tasks.serve.forms import Form, possible
from tasks.tuners.lora import Params as Lora
from tasks.weights.tuned import answer
from tests import sequences, tiny
from tests.tasks.matrix_checks import package
from tests.tasks.test_serve_transformers import serving

pytestmark = pytest.mark.slow  # a tiny model is trained once, and loaded


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """The toy, learnt in a few steps: what was packaged, and what evaluation asked and was answered."""
    place = tmp_path_factory.mktemp("sequences")
    weights, prepared = sequences.make_base(place / "weights"), sequences.write_prepared(place / "prepared", 64)
    train = {**sequences.TRAIN, "learning_rate": 1.0e-2, "num_train_epochs": 5}
    trained = tiny.train_in(place, weights, prepared, **train)
    package(weights, trained.adapter, prepared, place)
    rows = read_jsonl(prepared / "test.jsonl")[:8]
    answers = answer(weights, trained.adapter, rows, 4, 16, "tuned").predictions
    return SimpleNamespace(place=place, weights=weights, report=trained.report, rows=rows, answers=answers)


@pytest.fixture(scope="module")
def url(made: SimpleNamespace) -> Iterator[str]:
    with serving(made.weights, things=made.place / "adapter") as found:
        yield found


def post(url: str, path: str = "chat/completions", **body: object) -> httpx.Response:
    return httpx.post(f"{url}/{path}", json={"model": "things", "max_tokens": 16, "temperature": 0, **body}, timeout=60)


def test_it_learns_and_its_card_says_what_it_does(made: SimpleNamespace) -> None:
    figures = read_json(made.report / "metrics.json")
    assert figures["eval_loss"] < 1.0 and figures["rows_left_out"] == 0
    assert "pipeline_tag: text2text-generation" in (made.place / "card.md").read_text()
    source = read_json(made.place / "weights" / "source.json")
    assert source["parent"] == made.place.name and source["weights_sha256"]


def test_vllm_serves_no_encoder() -> None:
    assert possible(Lora(kind="lora"), "seq2seq") == (Form.TRANSFORMERS,)


def test_it_passes_the_parity_check_token_by_token(url: str, made: SimpleNamespace) -> None:
    parity = verify.check_parity(url, "things", made.place / "adapter", made.answers, 512, 0.99)
    assert parity.prompts == 8 and parity.share >= 0.99


def test_parity_is_refused_where_the_answers_are_others(url: str, made: SimpleNamespace) -> None:
    others = [{**row, "token_ids": row["token_ids"][::-1]} for row in made.answers]
    with pytest.raises(AnnealError, match="agree on .* of the tokens"):
        verify.check_parity(url, "things", made.place / "adapter", others, 512, 0.99)


def test_a_chat_of_one_turn_is_answered_as_in_evaluation(url: str, made: SimpleNamespace) -> None:
    for row, told in zip(made.rows, made.answers, strict=True):
        choice = post(url, messages=row["messages"], return_token_ids=True).raise_for_status().json()["choices"][0]
        assert choice["message"]["content"] == told["text"] and choice["token_ids"][:-1] == told["token_ids"]
    stream = post(url, messages=made.rows[0]["messages"], stream=True).text
    assert stream.endswith("data: [DONE]\n\n")


@pytest.mark.parametrize("before", [{"role": "system", "content": "Sort."}, {"role": "assistant", "content": "red"}])
def test_a_chat_of_more_is_refused(url: str, made: SimpleNamespace, before: dict) -> None:
    refused = post(url, messages=[before, *made.rows[0]["messages"]])
    assert refused.status_code == 400 and "reads one text: send one message" in refused.json()["error"]["message"]


def test_json_is_not_asked_of_a_vocabulary_without_braces(url: str, made: SimpleNamespace) -> None:
    refused = post(url, messages=made.rows[0]["messages"], response_format={"type": "json_object"})
    assert refused.status_code == 400 and "no tokens for JSON" in refused.json()["error"]["message"]


def test_an_answer_goes_on_from_where_it_is_told_to_begin(url: str, made: SimpleNamespace) -> None:
    source = post(url, messages=made.rows[0]["messages"], return_token_ids=True).json()["prompt_token_ids"]
    told = made.answers[0]["token_ids"]
    body = {"prompt": source, "decoder_prompt": told[:2], "return_token_ids": True}
    rest = post(url, "completions", **body).raise_for_status().json()["choices"][0]["token_ids"]
    assert rest[:-1] == told[2:]
    unknown = post(url, "completions", **{**body, "decoder_prompt": [10**6]})
    assert unknown.status_code == 400 and "does not know" in unknown.json()["error"]["message"]


def test_a_model_without_an_encoder_has_no_prompt_of_a_decoder(base: Path, packaged: SimpleNamespace) -> None:
    with serving(base, things=packaged.adapter) as url:
        refused = post(url, "completions", prompt="a red boat", decoder_prompt=[1])
    assert refused.status_code == 400 and "models with an encoder" in refused.json()["error"]["message"]
