"""A reward model behind the server on transformers: scores as in the evaluation, several answers in one request, and
what it does not read refused in a sentence.
"""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest

from tasks.dialogues import choices
from tasks.dialogues.special import of_folder
from tasks.errors import AnnealError
from tasks.files import read_jsonl
from tasks.serve import reading_parity, slots
from tasks.weights import tuned
from tests import rewards, tiny
from tests.tasks.test_serve_transformers import serving

pytestmark = pytest.mark.slow  # it trains

TRAIN = {
    "objective": {"kind": "reward", "ensemble": 2},
    "tuner": {"kind": "lora"},
    "learning_rate": 3.0e-3,
    "num_train_epochs": 1,
    "max_length": 200,
    "bf16": False,
}


@pytest.fixture(scope="module")
def made(base: Path, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """What was trained on the base, and what evaluation was told."""
    root = tmp_path_factory.mktemp("rewards")
    prepared = rewards.write_prepared(root / "prepared", 48)
    trained = tiny.train_in(root / "made", base, prepared, **TRAIN).adapter
    rows = tuned.answer(base, trained, read_jsonl(prepared / "test.jsonl"), 5, 8, "tuned").predictions
    return SimpleNamespace(base=base, trained=trained, rows=rows)


@pytest.fixture(scope="module")
def url(made: SimpleNamespace) -> Iterator[str]:
    with serving(made.base, things=made.trained) as found:
        yield found


def ask(url: str, messages: list[dict], **body: object) -> httpx.Response:
    return httpx.post(f"{url}/chat/completions", json={"model": "things", "messages": messages, **body}, timeout=60)


def test_it_passes_the_parity_check_and_other_scores_do_not(url: str, made: SimpleNamespace) -> None:
    special = of_folder(made.base)
    parity, too_long = reading_parity.check_parity(url, "things", special, made.rows)
    assert (parity.prompts, too_long) == (len(made.rows), []) and parity.difference < 1e-5
    row = made.rows[0]
    told = json.loads(row["text"])
    shifted = {**row, "text": json.dumps({**told, "scores": [score + 0.01 for score in told["scores"]]})}
    with pytest.raises(AnnealError, match=f"gives row {row['id']} the scores .* in the evaluation; the deployment is"):
        reading_parity.check_parity(url, "things", special, [shifted])


def test_any_number_of_answers_is_scored_at_once_as_each_alone(url: str, made: SimpleNamespace) -> None:
    prompt, answers = choices.split(made.rows[0]["messages"])
    many = [*answers, "Under the bed.", "", answers[0]]
    choice = ask(url, rewards.joined(prompt, many)).json()["choices"][0]
    told = json.loads(choice["message"]["content"])
    assert told["scores"][0] == pytest.approx(told["scores"][4], abs=1e-5)
    shares = choice["probabilities"]["better"]
    assert list(shares) == ["first", "second", "third", "4th", "5th"] and sum(shares.values()) == pytest.approx(1)
    assert told["better"] == max(shares, key=shares.__getitem__) or shares["first"] == shares["5th"]
    for place, answer in enumerate(many):
        alone = json.loads(ask(url, rewards.joined(prompt, [answer])).json()["choices"][0]["message"]["content"])
        assert alone["better"] == "first"
        assert alone["scores"] == pytest.approx([told["scores"][place]], abs=2e-5)
        assert alone["spreads"] == pytest.approx([told["spreads"][place]], abs=2e-5)


def test_choices_that_come_at_once_are_read_together(url: str, made: SimpleNamespace) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda row: ask(url, row["messages"]).json(), made.rows * 2))
    for answer, row in zip(answers, made.rows * 2, strict=True):
        text = answer["choices"][0]["message"]["content"]
        assert choices.figures(text)["scores"] == pytest.approx(choices.figures(row["text"])["scores"], abs=2e-5)
    assert slots.is_idle(url)


USER = {"role": "user", "content": "a"}
ANSWER = {"role": "assistant", "content": "b"}


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        ([USER], "send a prompt, then 1 to 64 answers to it"),
        ([ANSWER], "send a prompt, then 1 to 64 answers to it"),
        ([USER, *[ANSWER] * 65], "send a prompt, then 1 to 64 answers to it"),
        (
            [{"role": "tool", "content": "a"}, ANSWER],
            "messages[0] must be a text by one of these: system, user, assist",
        ),
        ([USER, {"role": "assistant", "content": None}], "messages[1] must be a text by one of these"),
        ([{"role": "user", "content": "a " * 600}, ANSWER], "maximum context length is 512 tokens"),
    ],
)
def test_what_is_no_choice_is_refused(messages: list[dict], words: str, url: str) -> None:
    reply = ask(url, messages)
    assert reply.status_code == 400 and words in reply.json()["error"]["message"]


def test_it_predicts_no_classes_and_writes_nothing(url: str) -> None:
    reply = httpx.post(f"{url.removesuffix('/v1')}/classify", json={"model": "things", "input": "a"}, timeout=60)
    assert reply.status_code == 400 and "This model scores answers and predicts no classes" in reply.text
    reply = httpx.post(f"{url}/completions", json={"model": "things", "prompt": "a"}, timeout=60)
    assert reply.status_code == 400 and "use /rank, /tasks/things, or send a chat that ends with answers" in reply.text


def test_a_dialogue_that_the_template_refuses_fails_alone(made: SimpleNamespace) -> None:
    from tasks.serve.gateway.errors import Refusal
    from tasks.serve.transformers.model import load

    served = load(made.base, made.trained, 512)
    template = served.reader.tokenizer.chat_template
    served.reader.tokenizer.chat_template = (
        "{% if messages[0]['content'] == 'bad' %}{{ raise_exception('no such dialogue') }}{% endif %}" + template
    )
    good, bad = served.put([[USER, ANSWER], [{**USER, "content": "bad"}, ANSWER]])
    served.work()
    assert choices.figures(good.result().text)["scores"]
    with pytest.raises(Refusal):
        bad.result()
