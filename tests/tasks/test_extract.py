"""An encoder learns to find answers in texts of any length, and that there are none; it is kept, merged and served as
what it was.
"""

import json
import math
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest

from tasks import objectives
from tasks.dialogues.special import of_folder
from tasks.errors import AnnealError
from tasks.files import read_json, read_jsonl
from tasks.formats.answer import format_of
from tasks.formats.spans import GIVEN, Span, to_json
from tasks.serve import reading_parity
from tasks.stages.evaluate import measures
from tasks.stages.evaluate.params import Evaluate
from tasks.stages.evaluate.predictions import read
from tasks.weights import tuned
from tests import encoders, tiny
from tests.tasks.test_serve_transformers import serving

pytestmark = pytest.mark.slow  # it trains

TRAIN = {
    "objective": {"kind": "extract"},
    "tuner": {"kind": "full"},
    "learning_rate": 3.0e-3,
    "num_train_epochs": 4,
    "max_length": 64,
    "bf16": False,
}
EXTRACT = objectives.kinds.load("tasks.objectives", "extract")
PARAMS = EXTRACT.Params(kind="extract", max_answer_tokens=8)
FORM = format_of({"answer": ["answer", "start", "end"]})


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Path:
    return encoders.write_spans(tmp_path_factory.mktemp("prepared"), 192)


@pytest.fixture(scope="module")
def made(encoder, prepared, tmp_path_factory) -> SimpleNamespace:
    return tiny.train_in(tmp_path_factory.mktemp("made"), encoder, prepared, **TRAIN)


@pytest.fixture(scope="module")
def model(made, encoder) -> SimpleNamespace:
    return SimpleNamespace(net=tuned.load(encoder, made.adapter), reader=tuned.tokenizer(encoder, made.adapter))


@pytest.fixture(scope="module")
def answered(made, encoder, prepared) -> list[dict]:
    """What the test rows came to."""
    return tuned.answer(encoder, made.adapter, read_jsonl(prepared / "test.jsonl"), 5, 8, "tuned").predictions


def asked(question: str, context: str, answer: str = "") -> dict:
    """A prepared row."""
    start = context.find(answer)
    span = Span(start, start + len(answer)) if answer else None
    content = f"{question}\n{context}"
    return {"id": "1", "messages": [{"role": "user", "content": content}], "answer": to_json(context, span)}


def test_it_learns_where_answers_stand_and_that_some_are_not_there(answered, prepared):
    assert [row["id"] for row in answered] == [row["id"] for row in read_jsonl(prepared / "test.jsonl")]
    table = measures.of(Evaluate(), FORM, "spans")
    assert list(table) == ["valid", "answer_token_f1", "answer_exact_match"]
    assert measures.compared_on(Evaluate(), "spans") in table
    rows = measures.rows(table, read(answered, FORM, {}))
    assert all(measure.value(rows[name]) > 0.9 for name, measure in table.items())
    assert {json.loads(row["text"])["answer"] == "" for row in answered} == {True, False}
    for row in answered:
        if row["text"] == row["answer"]:  # the likeliest is the right one: one probability said in two ways
            assert math.exp(-row["nll"]) == pytest.approx(row["probabilities"]["answer"][GIVEN], abs=1e-5)


def test_probabilities_are_of_all_spans_and_none_and_do_not_depend_on_company(model):
    from tasks.models import extractor

    rows = [asked("apple?", "big, a red apple! a door."), asked("lamp?", "small, a blue boat! a door. " * 12)]
    told = EXTRACT.log_probabilities(model.net, model.reader, rows)
    assert [float(shares.exp().sum()) for shares in told] == pytest.approx([1.0, 1.0], abs=1e-5)
    each = EXTRACT.of_text(model.reader, rows[0]["messages"][0]["content"])
    tokens, longest = len(each.ids), model.net.most_tokens
    assert longest == 30 and told[0].shape == (1, tokens * (tokens + 1) // 2 + 1)  # 30 is more than there are
    alone = extractor.scores(model.net, model.reader, [each])[0]
    together = extractor.scores(model.net, model.reader, [each, EXTRACT.of_text(model.reader, "a?\n" + "b " * 99)])[0]
    assert alone.flatten().tolist() == pytest.approx(together.flatten().tolist(), abs=1e-4)


def test_question_and_text_are_told_apart_by_segments_and_each_stands_in_its_frame(encoder):
    pairs = EXTRACT.processor(PARAMS, encoder, [])
    encoded = EXTRACT.encode(PARAMS, pairs, asked("red?", "a red apple!", "red"))
    (piece,), left_out = EXTRACT.arrange(PARAMS, [encoded], 64)
    batch = EXTRACT.collate([piece, {**piece, "input_ids": [*piece["input_ids"], 5]}], 0)
    theirs = pairs.reader.tokenizer("red?", "a red apple!")
    assert left_out == 0 and piece["input_ids"] == theirs["input_ids"]
    assert batch["token_type_ids"][0, :-1].tolist() == theirs["token_type_ids"]
    assert batch["attention_mask"].tolist() == [[*theirs["attention_mask"], 0], [1] * (len(piece["input_ids"]) + 1)]
    start, end = piece["labels"]
    assert pairs.decode(piece["input_ids"][start : end + 1]) == "red" and sum(EXTRACT.trained_on(piece)) == 1
    places = [place for place, is_place in enumerate(batch["is_place"][0].tolist()) if is_place]
    assert places == [0, *range(piece["first"], piece["last"])] and places[1] == theirs["token_type_ids"].index(1)


def test_a_tokenizer_that_frames_nothing_or_otherwise_is_read_as_it_frames(base, encoder):
    from tokenizers import processors

    from tasks.models import extractor
    from tasks.models.encoder import load_tokenizer

    bare, reader = load_tokenizer(base), load_tokenizer(encoder)
    assert extractor.frame(bare) == ([], [], [])
    reader.tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] [SEP] $B [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    assert extractor.frame(reader) == ([2], [3, 3], [3])  # RoBERTa's
    each = extractor.of_text(reader, "red apple?\na red apple!")
    ((piece, _),) = extractor.pieces(each.ids, each.question_ids, extractor.frame(reader), 64)
    assert piece.input_ids == reader.tokenizer("red apple?", "a red apple!")["input_ids"]


def test_a_long_text_is_trained_on_in_windows_and_one_without_the_answer_says_none(encoder):
    pairs = EXTRACT.processor(PARAMS, encoder, [])
    context = "big a red apple " * 30 + "blue boat"
    encoded = EXTRACT.encode(PARAMS, pairs, asked("boat?", context, "blue boat"))
    pieces, left_out = EXTRACT.arrange(PARAMS, [encoded], 512)
    assert left_out == 0 and max(len(piece["input_ids"]) for piece in pieces) == 64 and len(pieces) == 3
    assert [piece["labels"] == [0, 0] for piece in pieces] == [True, True, False]
    assert pairs.decode(pieces[-1]["input_ids"][slice(pieces[-1]["labels"][0], -1)]) == "blue boat"
    whole = EXTRACT.encode(PARAMS, pairs, asked("boat?", context, context))
    assert EXTRACT.arrange(PARAMS, [whole], 64) == ([], 1)  # its answer is whole in no window
    assert EXTRACT.arrange(PARAMS, [encoded], 4) == ([], 1)
    long = EXTRACT.encode(PARAMS, pairs, asked("boat " * 99, "a red apple", "red"))
    (piece,), _ = EXTRACT.arrange(PARAMS, [long], 64)
    assert len(piece["input_ids"]) <= 64 and piece["labels"][0] > 30  # half of the room is the question's


def test_an_answer_is_found_beyond_the_positions_and_where_special_texts_stand(model):
    context = "a door. " * 40 + "big, a red [SEP] apple! " + "a door. " * 40
    (said,) = EXTRACT.answer_rows(model.net, model.reader, [asked("apple?", context)])
    answer = json.loads(said["text"])
    assert answer["start"] is None or context[answer["start"] : answer["end"]] == answer["answer"]
    told = EXTRACT.answer_rows(model.net, model.reader, [asked("apple?", ""), asked("apple?", " ")])
    assert [json.loads(each["text"])["answer"] for each in told] == ["", ""]
    assert told[0]["probabilities"]["answer"][GIVEN] == 1.0


def test_the_loss_is_of_both_ends_in_each_window_and_padding_changes_nothing(encoder, model):
    pairs = EXTRACT.processor(PARAMS, encoder, [])
    rows = [asked("apple?", "a red apple!", "red"), asked("lamp?", "small, a blue boat! a door. a boat.")]
    pieces, _ = EXTRACT.arrange(PARAMS, [EXTRACT.encode(PARAMS, pairs, row) for row in rows], 64)
    batches = [EXTRACT.collate(batch, 0) for batch in (pieces[:1], pieces[1:], pieces)]
    first, second, together = (EXTRACT.loss(PARAMS, model.net, batch, None).item() for batch in batches)
    assert together == pytest.approx((first + second) / 2, rel=1e-3)
    shared = EXTRACT.loss(PARAMS, model.net, batches[2], 8).item()
    assert shared == pytest.approx(together / 2, rel=1e-5)  # of eight ends, four are here


def test_an_adapter_learns_and_is_merged_into_what_answers_the_same(encoder, prepared, tmp_path):
    from tasks.weights.merge import write_merged

    settings = {**TRAIN, "tuner": {"kind": "lora"}, "learning_rate": 1.0e-2, "num_train_epochs": 1}
    made = tiny.train_in(tmp_path, encoder, prepared, **settings)
    assert read_json(made.adapter / "head.json") == {"kind": "extract", "most_tokens": 30}
    merged = tmp_path / "merged"
    merged.mkdir()
    assert write_merged(encoder, made.adapter, read_jsonl(prepared / "test.jsonl"), 1.0e-4, merged) < 1.0e-4


def test_rows_without_an_answer_are_refused_and_one_that_is_too_long_is_not_likely(encoder, model):
    rows = [asked("apple?", "a red door")]
    with pytest.raises(AnnealError, match="no training row has an answer in its context"):
        EXTRACT.check(EXTRACT.processor(PARAMS, encoder, rows), {"train": rows})
    context = "a red apple " * 20
    row = asked("apple?", context, context.strip())
    assert EXTRACT.answer_rows(model.net, model.reader, [row])[0]["nll"] == EXTRACT.LOWEST


def test_it_is_served_as_it_was_evaluated(made, encoder, answered):
    with serving(encoder, things=made.adapter) as url:
        parity, too_long = reading_parity.check_parity(url, "things", of_folder(encoder), answered)
        assert (parity.prompts, too_long) == (len(answered), []) and parity.difference < 1e-5
        row = next(row for row in answered if json.loads(row["text"])["answer"])
        with pytest.raises(AnnealError, match=f"things answers row {row['id']} differently than in the evaluation"):
            reading_parity.check_parity(url, "things", of_folder(encoder), [{**row, "text": to_json("", None)}])
        given = row["probabilities"]["answer"][GIVEN] - 0.002
        other = {**row, "probabilities": {"answer": {"given": given, "other": 1 - given}}}
        with pytest.raises(AnnealError, match="says answer = given of row"):
            reading_parity.check_parity(url, "things", of_folder(encoder), [other])
        root, text = url.removesuffix("/v1"), row["messages"][-1]["content"]
        refused = httpx.post(f"{root}/classify", json={"model": "things", "input": text})
        assert refused.status_code == 400 and "finds answers in a text and predicts no classes" in refused.text
        for bare in ("apple?", "apple?\n ", "\na red apple"):
            body = {"model": "things", "messages": [{"role": "user", "content": bare}]}
            refused = httpx.post(f"{url}/chat/completions", json=body)
            assert refused.status_code == 400 and "send the question on one line, and the text below" in refused.text
        refused = httpx.post(f"{url}/completions", json={"model": "things", "prompt": text})
        assert refused.status_code == 400 and "finds answers in a text and does not generate text" in refused.text
