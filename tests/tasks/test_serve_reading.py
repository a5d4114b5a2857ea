"""The server on transformers tells classes: as evaluation did, in vLLM's and OpenAI's words, many texts at once."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from openai import OpenAI

from tasks.dialogues.special import of_folder
from tasks.errors import AnnealError
from tasks.files import read_jsonl
from tasks.serve import reading_parity, slots, verify
from tasks.weights import tuned
from tests import encoders, tiny
from tests.tasks.test_serve_transformers import serving

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.slow  # it trains

TRAIN = {
    "objective": {"kind": "classify"},
    "tuner": {"kind": "full"},
    "learning_rate": 3.0e-3,
    "num_train_epochs": 4,
    "max_length": 64,
    "bf16": False,
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A base, what was trained on it, and what evaluation was told."""
    root = tmp_path_factory.mktemp("reading")
    base = encoders.make_base(root / "weights")
    prepared = encoders.write_prepared(root / "prepared", 96)
    trained = tiny.train_in(root / "made", base, prepared, **TRAIN).adapter
    rows = tuned.answer(base, trained, read_jsonl(prepared / "test.jsonl"), 5, 8, "tuned").predictions
    return SimpleNamespace(base=base, trained=trained, rows=rows, format=prepared / "format.json")


@pytest.fixture(scope="module")
def url(made: SimpleNamespace) -> Iterator[str]:
    with serving(made.base, things=made.trained) as found:
        yield found


def text_of(row: dict) -> str:
    return row["messages"][0]["content"]


def classify(url: str, **body: object) -> httpx.Response:
    return httpx.post(f"{url.removesuffix('/v1')}/classify", json={"model": "things", **body}, timeout=60)


def test_it_passes_the_parity_check_and_another_model_does_not(url: str, made: SimpleNamespace) -> None:
    special = of_folder(made.base)
    parity, too_long = reading_parity.check_parity(url, "things", special, made.rows)
    assert (parity.prompts, parity.share, too_long) == (len(made.rows), 1.0, []) and parity.difference < 1e-5
    row = made.rows[0]
    column, shares = next(iter(row["probabilities"].items()))
    (first, share), *rest = shares.items()
    other = {**row, "probabilities": {**row["probabilities"], column: {first: share + 0.002, **dict(rest)}}}
    with pytest.raises(AnnealError, match=f"says {column} = {first} of row {row['id']} with a probability of"):
        reading_parity.check_parity(url, "things", special, [other])
    with pytest.raises(AnnealError, match="predicts other classes"):
        reading_parity.check_parity(url, "things", special, [{**row, "probabilities": {column: shares}}])


def test_classify_answers_in_vllms_form_with_the_labels_of_every_column(url: str, made: SimpleNamespace) -> None:
    answer = classify(url, input=[text_of(row) for row in made.rows]).json()
    assert answer["object"] == "list" and answer["model"] == "things"
    assert answer["usage"]["prompt_tokens"] == answer["usage"]["total_tokens"] > 3 * len(made.rows)
    for place, (entry, row) in enumerate(zip(answer["data"], made.rows, strict=True)):
        labels = json.loads(row["text"])
        assert entry["index"] == place and entry["num_classes"] == len(entry["probs"])
        assert {name: told["label"] for name, told in entry["labels"].items()} == labels
        assert entry["label"] == labels[next(iter(entry["labels"]))] and sum(entry["probs"]) == pytest.approx(1)
        for column, told in entry["labels"].items():
            assert told["probabilities"] == pytest.approx(row["probabilities"][column], abs=1e-5)
    single = classify(url, input=text_of(made.rows[0])).json()["data"]
    assert len(single) == 1 and single[0]["probs"] == pytest.approx(answer["data"][0]["probs"], abs=1e-5)


def test_a_chat_is_answered_with_the_labels_as_json_and_their_probabilities(url: str, made: SimpleNamespace) -> None:
    client = OpenAI(base_url=url, api_key="none", max_retries=0)
    row = made.rows[0]
    ask = {"model": "things", "messages": row["messages"], "temperature": 0, "max_tokens": 5}
    choice = client.chat.completions.create(**ask).choices[0]
    assert choice.message.content == row["text"] and choice.finish_reason == "stop"
    assert choice.probabilities.keys() == row["probabilities"].keys()
    events = list(client.chat.completions.create(**ask, stream=True, stream_options={"include_usage": True}))
    pieces = [event.choices[0] for event in events if event.choices]
    assert "".join(piece.delta.content or "" for piece in pieces) == row["text"]
    assert pieces[-1].finish_reason == "stop" and pieces[-1].probabilities == choice.probabilities
    assert events[-1].usage.completion_tokens == 0 and events[-1].usage.prompt_tokens > 2


def test_special_texts_are_read_the_same_whether_they_were_broken_before_or_not(
    url: str, made: SimpleNamespace
) -> None:
    text = "big [SEP] red [CLS]"
    both = classify(url, input=[text, of_folder(made.base).neutral(text)]).json()["data"]
    assert both[0]["probs"] == both[1]["probs"]


def test_texts_that_come_at_once_are_read_together(url: str, made: SimpleNamespace, monkeypatch) -> None:
    from tasks.models import classifier

    sizes: list[int] = []
    of_tokens = classifier.log_probabilities_of_tokens

    def counted(model: object, reader: object, encoded: list) -> object:
        sizes.append(len(encoded))
        return of_tokens(model, reader, encoded)

    monkeypatch.setattr(classifier, "log_probabilities_of_tokens", counted)
    texts = [text_of(row) for row in made.rows] * 8
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda text: classify(url, input=text).json()["data"][0], texts))
    assert sum(sizes) == len(texts) and len(sizes) < len(texts)
    right = [row["probabilities"] for row in made.rows] * 8
    for answer, expected in zip(answers, right, strict=True):
        for column, told in answer["labels"].items():
            assert told["probabilities"] == pytest.approx(expected[column], abs=1e-5)
    assert slots.is_idle(url)


@pytest.mark.parametrize(
    ("path", "words", "body"),
    [
        ("/classify", "`input` is not valid", {"input": []}),
        ("/classify", "`input` is not valid", {"input": [1, 2]}),
        ("/classify", "`colour` is not valid", {"input": "a", "colour": "red"}),
        (
            "/v1/completions",
            "predicts classes and does not generate text: use /classify, /tasks/things",
            {"prompt": "a"},
        ),
        ("/v1/chat/completions", "reads one text", {"messages": [{"role": "system", "content": "a"}]}),
        ("/v1/chat/completions", "must have a text", {"messages": [{"role": "user", "content": ""}]}),
        (
            "/v1/chat/completions",
            "supports no other schema",
            {"messages": [{"role": "user", "content": "a"}], "guided_json": {"type": "object"}},
        ),
    ],
)
def test_what_is_not_done_is_refused_in_a_sentence(url: str, path: str, words: str, body: dict) -> None:
    answer = httpx.post(url.removesuffix("/v1") + path, json={"model": "things", **body})
    assert answer.status_code == 400 and words in answer.json()["error"]["message"]


def test_a_text_beyond_the_servers_length_is_refused_alone(made: SimpleNamespace) -> None:
    from tasks.serve.transformers.model import load

    version = load(made.base, made.trained, 8)
    short, long = version.put(["big red boat", "big red boat " * 9])
    version.work()
    assert short.result().text.startswith("{")
    with pytest.raises(Exception, match="maximum context length is 8 tokens, and the text has"):
        long.result()


def test_texts_of_like_length_share_a_forward_pass_and_a_pass_is_bounded() -> None:
    from tasks.serve.transformers.reading import MOST_TOKENS, batches

    assert [sorted(group) for group in batches([5, 100, 6, 90, 4])] == [[1, 3], [0, 2, 4]]
    groups = list(batches([512] * 40))
    assert sum(map(len, groups)) == 40 and max(map(len, groups)) == MOST_TOKENS // 512
    assert list(batches([])) == [] and list(batches([10**6])) == [[0]]


def test_versions_are_loaded_beside_one_another(url: str, made: SimpleNamespace) -> None:
    slots.load(url, "things@2", str(made.trained))
    assert set(verify.served_names(url)) == {"things", "things@2"}
    assert classify(url, model="things@2", input=text_of(made.rows[0])).status_code == 200
    slots.unload(url, "things@2")
