"""A tagger learns to mark entities on an encoder, marks them in raw text and in text of any length, and is kept, loaded
and merged as what it was.
"""

import json
import warnings
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest

from tasks import objectives
from tasks.dialogues.special import of_folder
from tasks.errors import AnnealError
from tasks.files import read_json, read_jsonl
from tasks.formats import entities
from tasks.formats.answer import format_of
from tasks.serve import reading_parity
from tasks.stages.evaluate.measures.entity_ece import entity_ece
from tasks.stages.evaluate.measures.entity_f1 import entity_f1
from tasks.stages.evaluate.predictions import read
from tasks.weights import tuned
from tests import encoders, tiny
from tests.tasks.test_serve_transformers import serving

pytestmark = pytest.mark.slow  # it trains

TRAIN = {
    "objective": {"kind": "tag"},
    "tuner": {"kind": "full"},
    "learning_rate": 3.0e-3,
    "num_train_epochs": 3,
    "max_length": 64,
    "bf16": False,
}
TAG = objectives.kinds.load("tasks.objectives", "tag")
PARAMS = TAG.Params(kind="tag")
FORM = format_of({"entities": list(entities.FIELDS)})


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Path:
    return encoders.write_tagged(tmp_path_factory.mktemp("prepared"), 96)


@pytest.fixture(scope="module")
def made(encoder, prepared, tmp_path_factory) -> SimpleNamespace:
    return tiny.train_in(tmp_path_factory.mktemp("made"), encoder, prepared, **TRAIN)


@pytest.fixture(scope="module")
def model(made, encoder) -> SimpleNamespace:
    return SimpleNamespace(tagger=tuned.load(encoder, made.adapter), reader=tuned.tokenizer(encoder, made.adapter))


def asked(model: SimpleNamespace, *texts: str) -> list[list[tuple[str, str]]]:
    """(label, text) of the entities that are told of each text."""
    rows = [{"messages": [{"role": "user", "content": text}], "answer": "[]"} for text in texts]
    answers = [json.loads(said["text"]) for said in TAG.answer_rows(model.tagger, model.reader, rows)]
    return [[(entity["label"], entity["text"]) for entity in answer] for answer in answers]


def test_it_learns_and_f1_is_seqevals(made, encoder, prepared):
    from seqeval.metrics import f1_score

    rows = read_jsonl(prepared / "test.jsonl")
    rows[0] = {**rows[0], "answer": "[]"}  # so that something is wrong
    predictions = tuned.answer(encoder, made.adapter, rows, 5, 8, "tuned").predictions
    assert [row["id"] for row in predictions] == [row["id"] for row in rows]
    assert all(row["tokens"] == 6 and row["nll"] >= 0 and FORM.read(row["text"]) for row in predictions)
    words = [entities.words(row["messages"][-1]["content"]) for row in rows]
    right, told = (
        [entities.to_tags(entities.spans(row[key]), of_row) for row, of_row in zip(predictions, words, strict=True)]
        for key in ("answer", "text")
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = f1_score(right, told)
    ours = entity_f1("entities")
    value = ours.value(ours.rows(read(predictions, FORM, {})))
    assert 0.9 < value < 1 and value == pytest.approx(theirs)
    for row in predictions:
        stretches = {entities.key(one.start, one.end): one.label for one in entities.spans(row["text"])}
        told = {name: label for name, (label, p) in entities.likeliest(row["probabilities"]).items() if p > 0.5}
        assert told == stretches and all(sum(p.values()) == pytest.approx(1) for p in row["probabilities"].values())
    ece = entity_ece("entities")
    assert ece.is_measurable(read(predictions, FORM, {})) and 0 < ece.value(ece.rows(read(predictions, FORM, {}))) < 0.2


def test_an_entity_is_as_likely_as_its_words_begin_it_go_on_and_end(model):
    import torch

    from tasks.models import tagger
    from tasks.models.words import Words

    assert model.tagger.tags == ["O", "B-SIZE", "I-SIZE", "B-THING", "I-THING"]
    shares = torch.tensor([[0.1, 0.7, 0.0, 0.2, 0.0], [0.2, 0.0, 0.5, 0.0, 0.3], [0.6, 0.0, 0.25, 0.0, 0.15]]).log()
    read_ = Words("a bc d", [1, 2, 3], [(0, 1), (2, 4), (5, 6)], [(0, 0), (1, 1), (2, 2)])
    told = tagger.probabilities(model.tagger, read_, ["B-SIZE", "I-SIZE", "O"], shares)
    size, thing = 0.7 * 0.5 * 0.75, 0.2 * 0.3 * 0.85
    assert told == {"0-4": pytest.approx({"SIZE": size, "THING": thing, "O": 1 - size - thing}, abs=1e-6)}
    assert tagger.probabilities(model.tagger, read_, ["O", "O", "B-THING"], shares)["5-6"]["THING"] == 0.0
    assert tagger.probabilities(model.tagger, read_, ["O"] * 3, shares) == {}


def test_raw_text_is_marked_as_rows_of_tokens_are_alone_and_beside_another(model):
    texts = "big , a red apple !", "Big, a  red\napple!"
    whole, raw = asked(model, *texts)
    assert whole == [("SIZE", "big"), ("THING", "red apple")] and raw == [("SIZE", "Big"), ("THING", "red\napple")]
    assert [asked(model, text)[0] for text in texts] == [whole, raw]
    assert asked(model, "", " ") == [[], []]


def test_a_text_beyond_the_positions_is_marked_to_its_end(model):
    def shares(words: list[str]) -> list[list[float]]:
        rows = [{"messages": [{"role": "user", "content": " ".join(words)}]}]
        return TAG.log_probabilities(model.tagger, model.reader, rows)[0].exp().tolist()

    text = "big a red apple small , a blue boat !".split() * 16
    told, fits = shares(text), model.reader.positions - 2
    assert len(told) == 160 and [sum(of_word) for of_word in told] == pytest.approx([1.0] * 160, abs=1e-5)
    ends = [(told[:50], shares(text[:fits])[:50]), (told[-30:], shares(text[-fits:])[-30:])]
    for within, alone in ends:  # as if the window in which they stand were all
        assert [share for word in within for share in word] == pytest.approx(
            [share for word in alone for share in word], abs=1e-5
        )


def test_the_loss_is_of_words_not_of_padding_special_or_further_tokens(encoder, model):
    row = {**encoders.tagged_rows(0, 1)[0], "messages": [{"role": "user", "content": "small a zzqx apple"}]}
    row["answer"] = entities.to_json("small a zzqx apple", [entities.Entity(8, 18, "THING")])
    tags = TAG.processor(PARAMS, encoder, encoders.tagged_rows(0, 8))
    encoded = [TAG.encode(PARAMS, tags, each) for each in (row, encoders.tagged_rows(1, 1)[0])]
    pieces, left_out = TAG.arrange(PARAMS, encoded, 64)
    assert left_out == 0 and [sum(TAG.trained_on(piece)) for piece in pieces] == [4, 6]
    assert [len(piece["input_ids"]) for piece in pieces] == [9, 8]  # zzqx is four tokens
    batches = [TAG.collate(batch, 0) for batch in (pieces[:1], pieces[1:], pieces)]
    first, second, together = (TAG.loss(PARAMS, model.tagger, batch, None).item() for batch in batches)
    assert together == pytest.approx((4 * first + 6 * second) / 10, rel=1e-4)


def test_a_long_row_is_trained_on_in_windows_each_word_once(encoder):
    text = " ".join(["big a red apple"] * 40)
    row = {"id": "1", "messages": [{"role": "user", "content": text}], "answer": "[]"}
    tags = TAG.processor(PARAMS, encoder, encoders.tagged_rows(0, 8))
    encoded = [TAG.encode(PARAMS, tags, row)]
    for length in (16, 512):
        pieces, _ = TAG.arrange(PARAMS, encoded, length)
        assert sum(sum(TAG.trained_on(piece)) for piece in pieces) == 160
        assert max(len(piece["input_ids"]) for piece in pieces) == min(length, 64)
    assert TAG.arrange(PARAMS, encoded, 2) == ([], 1)


def test_an_adapter_learns_and_is_merged_into_what_answers_the_same(encoder, prepared, tmp_path):
    from tasks.weights.merge import write_merged

    settings = {**TRAIN, "tuner": {"kind": "lora"}, "learning_rate": 1.0e-2, "num_train_epochs": 1}
    made = tiny.train_in(tmp_path, encoder, prepared, **settings)
    assert read_json(made.adapter / "head.json") == {"kind": "tag", "labels": ["SIZE", "THING"], "place": "first"}
    merged = tmp_path / "merged"
    merged.mkdir()
    assert write_merged(encoder, made.adapter, read_jsonl(prepared / "test.jsonl"), 1.0e-4, merged) < 1.0e-4


def test_the_parent_marks_nothing(encoder, prepared, tmp_path):
    from tasks.stages.baseline import baseline
    from tasks.stages.predict.params import Predict

    baseline(Predict(), encoder, prepared, tmp_path / "out")
    rows = read_jsonl(tmp_path / "out" / "predictions.jsonl")
    assert [row["id"] for row in rows] == [row["id"] for row in read_jsonl(prepared / "test.jsonl")]
    ours = entity_f1("entities")
    assert {row["text"] for row in rows} == {"[]"} and ours.value(ours.rows(read(rows, FORM, {}))) == 0


def test_rows_without_an_entity_are_refused_and_a_label_that_is_not_known_is_not_likely(encoder, model):
    rows = [{**row, "answer": "[]"} for row in encoders.tagged_rows(0, 4)]
    with pytest.raises(AnnealError, match="no training row marks an entity"):
        TAG.check(TAG.processor(PARAMS, encoder, rows), {"train": rows})
    strange = {**rows[0], "answer": entities.to_json("small , a red apple !", [entities.Entity(0, 5, "COLOUR")])}
    assert TAG.answer_rows(model.tagger, model.reader, [strange])[0]["nll"] >= TAG.LOWEST


def test_it_is_served_as_it_was_evaluated_in_text_of_any_length_and_tells_no_classes(made, encoder, prepared):
    rows = tuned.answer(encoder, made.adapter, read_jsonl(prepared / "test.jsonl"), 5, 8, "tuned").predictions
    with serving(encoder, things=made.adapter) as url:
        parity, too_long = reading_parity.check_parity(url, "things", of_folder(encoder), rows)
        assert (parity.prompts, too_long) == (len(rows), []) and parity.difference < 1e-5
        old = {name: value for name, value in rows[0].items() if name != "probabilities"}  # of an earlier evaluation
        assert reading_parity.check_parity(url, "things", of_folder(encoder), [old])[0].difference == 0.0
        with pytest.raises(AnnealError, match=f"things marks row {rows[0]['id']} differently than in the evaluation"):
            reading_parity.check_parity(url, "things", of_folder(encoder), [{**old, "text": "[]"}])
        with pytest.raises(AnnealError, match=f"things predicts other classes for row {rows[0]['id']}"):
            reading_parity.check_parity(url, "things", of_folder(encoder), [{**rows[0], "probabilities": {}}])
        text = "big, a red [SEP] apple! " + "small, a blue boat! " * 50
        body = {"model": "things", "messages": [{"role": "user", "content": text}]}
        choice = httpx.post(f"{url}/chat/completions", json=body, timeout=60).json()["choices"][0]
        answer = json.loads(choice["message"]["content"])
        assert answer[0] == {"label": "SIZE", "text": "big", "start": 0, "end": 3}
        assert {*choice["probabilities"]} == {entities.key(one["start"], one["end"]) for one in answer}
        assert all(text[one["start"] : one["end"]] == one["text"] for one in answer)
        assert answer[-1]["start"] > len(text) // 2
        refused = httpx.post(f"{url.removesuffix('/v1')}/classify", json={"model": "things", "input": text})
        assert refused.status_code == 400 and "marks a text and predicts no classes" in refused.text
        refused = httpx.post(f"{url}/completions", json={"model": "things", "prompt": text})
        assert (
            "marks a text and does not generate text: use /tasks/things, or send a chat of one message" in refused.text
        )
