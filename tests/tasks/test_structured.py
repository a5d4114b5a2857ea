"""A model held to a schema writes nothing else, whatever it would rather write, alone and in company."""

import json
import shutil
import sys

import pytest
import torch

from tasks.dialogues.chat import load_tokenizer
from tasks.errors import AnnealError
from tasks.files import read_json, read_jsonl
from tasks.formats.answer import JsonAnswer
from tasks.formats.answer_schema import schema
from tasks.inference import answers
from tasks.inference.answers import answer
from tasks.inference.decoding import stop_ids
from tasks.inference.structured import Structure
from tasks.stages.baseline import baseline
from tasks.stages.predict.params import Predict
from tests import tiny

pytestmark = pytest.mark.slow  # torch is loaded

LIMIT = 120  # tokens
FORM = JsonAnswer(("colour", "mood", "reply"))


def row(colour: str, reply: str) -> dict:
    return {"answer": FORM.write({"colour": colour, "mood": "warm", "reply": reply})}


def test_a_label_is_one_of_its_classes_and_a_text_no_longer_than_the_longest():
    made = schema(
        FORM, [row("red", "One."), row("blau & grün", "Two, three."), row("red", "4"), row("blau & grün", "")]
    )
    assert made["properties"] == {
        "colour": {"enum": ["blau & grün", "red"]},
        "mood": {"type": "string", "minLength": 1, "maxLength": 4},  # one value is no class
        "reply": {"type": "string", "minLength": 1, "maxLength": 11},
    }
    assert made["required"] == ["colour", "mood", "reply"] and made["additionalProperties"] is False


@pytest.fixture(scope="module")
def held(base) -> tuple:
    model, tokenizer = answers.load_body(base).float(), load_tokenizer(base)
    return model, tokenizer, schema(FORM, tiny.prepared_rows(0, 32))


def structure(held: tuple, limit: int = LIMIT) -> Structure:
    model, tokenizer, wanted = held
    return Structure(wanted, tokenizer, len(tokenizer), stop_ids(tokenizer, model), limit)


def test_a_model_that_knows_nothing_writes_valid_answers_with_known_classes(held):
    model, tokenizer, _ = held
    rows = tiny.prepared_rows(40, 5)
    for place, each in enumerate(rows):
        each["messages"][-1]["content"] += "\nSize: the same as ever" * place
    free = answer(model, tokenizer, rows, 8, LIMIT, "free").predictions
    assert all(FORM.read(prediction["text"]) is None for prediction in free)
    told = answer(model, tokenizer, rows, 8, LIMIT, "held", limits=structure(held)).predictions
    for prediction in told:
        read = FORM.read(prediction["text"])
        assert read and read["colour"] in tiny.COLOURS and read["mood"] in tiny.COLOURS.values()
        assert prediction["finished"] and prediction["text"] == json.dumps(read, ensure_ascii=False)
    assert [each["nll"] for each in told] == pytest.approx([each["nll"] for each in free])
    alone = [answer(model, tokenizer, [each], 1, LIMIT, "one", limits=structure(held)).predictions[0] for each in rows]
    assert [each["token_ids"] for each in alone] == [each["token_ids"] for each in told]
    cores = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        beside = answer(model, tokenizer, rows, 3, LIMIT, "in threads", limits=structure(held)).predictions
    finally:
        torch.set_num_threads(cores)
    assert [each["token_ids"] for each in beside] == [each["token_ids"] for each in told]


@pytest.mark.parametrize("order", [["colour", "mood", "reply"], ["reply", "colour", "mood"], ["mood", "reply", "more"]])
def test_an_answer_ends_within_its_tokens_wherever_the_long_text_stands(held, order):
    model, tokenizer, wanted = held
    known = {**wanted["properties"], "reply": {"type": "string", "minLength": 1, "maxLength": 900}}
    known["more"] = known["reply"]
    form, rows = JsonAnswer(tuple(order)), tiny.prepared_rows(40, 3)
    ends = stop_ids(tokenizer, model)
    for limit in (60, 90):
        properties = {**wanted, "properties": {name: known[name] for name in order}, "required": order}
        limits = Structure(properties, tokenizer, len(tokenizer), ends, limit)
        for prediction in answer(model, tokenizer, rows, 8, limit, "held", limits=limits).predictions:
            assert prediction["finished"] and form.read(prediction["text"]), prediction["text"]
            assert limit - 24 <= len(prediction["token_ids"]) < limit, "it was closed long before it had to be"


def test_rows_that_have_ended_are_left_as_they_are(held):
    limits, logits = structure(held), torch.randn(3, len(held[1]))
    before = logits.clone()
    limits.mask(logits, [0, None, 2])
    allowed = torch.isfinite(logits).sum(-1)
    assert torch.equal(logits[1], before[1]) and allowed[0] == allowed[2] == 1


def test_an_engine_that_is_missing_or_does_nothing_with_the_tokenizer_is_said(held, monkeypatch):
    model, tokenizer, wanted = held
    with pytest.raises(AnnealError, match=r"^xgrammar, which constrains answers to their form, cannot be used: \S+"):
        Structure(wanted, object(), len(tokenizer), stop_ids(tokenizer, model), LIMIT)
    with pytest.raises(AnnealError, match="cannot be used"):
        Structure({"type": "nonsense", "properties": {}}, tokenizer, len(tokenizer), stop_ids(tokenizer, model), LIMIT)
    monkeypatch.setitem(sys.modules, "xgrammar", None)
    with pytest.raises(AnnealError, match="cannot be used: .*xgrammar"):
        structure(held)


def test_the_stage_holds_the_parent_to_its_form_and_says_where_it_could_not(
    base, prepared, tmp_path, monkeypatch, capsys
):
    few = shutil.copytree(prepared, tmp_path / "prepared")
    (few / "test.jsonl").write_text("".join((few / "test.jsonl").read_text().splitlines(keepends=True)[:4]))
    params = Predict(max_new_tokens=LIMIT)
    baseline(params, base, few, tmp_path / "held")
    assert all(FORM.read(each["text"]) for each in read_jsonl(tmp_path / "held/predictions.jsonl"))
    assert read_json(tmp_path / "held/timing.json")["structured"] is True
    monkeypatch.setitem(sys.modules, "xgrammar", None)
    baseline(params, base, few, tmp_path / "free")
    assert not any(FORM.read(each["text"]) for each in read_jsonl(tmp_path / "free/predictions.jsonl"))
    facts = read_json(tmp_path / "free/timing.json")
    assert facts["structured"] is False and "cannot be used" in facts["unstructured"]
    assert f"parent: asked without structured outputs: {facts['unstructured']}" in capsys.readouterr().err
