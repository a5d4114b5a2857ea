"""An answer parts into what a classifier tells and the rest, and is asked for and learnt in these parts."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.dialogues.chat import GIVEN, REST, check_template, encode, encode_prompt, encode_question, load_tokenizer
from tasks.dialogues.dialogue import weigh_columns
from tasks.errors import AnnealError
from tasks.inference import answers
from tasks.models import heads, labeller
from tasks.objectives import sft
from tests import tiny

ANSWER = ["colour", "mood", "reply"]


def plain() -> dict[str, Any]:
    return tiny.prepared_rows(0, 1)[0]


def begun(row: dict[str, Any], **labels: str) -> dict[str, Any]:
    """`row` behind its own labels, or others."""
    right, rest = labeller.parts(row, ANSWER, 2)
    return {**row, GIVEN: labeller.beginning(ANSWER, labels) if labels else right, REST: rest}


def test_an_answer_parts_behind_the_colon_of_the_first_column_that_is_not_told() -> None:
    assert labeller.parts(plain(), ANSWER, 2) == (
        '{"colour": "red", "mood": "warm", "reply":',
        ' "Put it on the red shelf."}',
    )
    assert labeller.parts(plain(), ANSWER, 1)[0] == '{"colour": "red", "mood":'


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@given(values=st.lists(TEXTS, min_size=3, max_size=3), names=st.lists(TEXTS, min_size=3, max_size=3, unique=True))
def test_both_parts_are_the_answer_whatever_is_in_it(values: list[str], names: list[str]) -> None:
    answer = json.dumps(dict(zip(names, values, strict=True)), ensure_ascii=False)
    for told in (1, 2):
        assert "".join(labeller.parts({"id": "1", "answer": answer}, names, told)) == answer


def test_an_answer_of_other_columns_is_refused() -> None:
    with pytest.raises(AnnealError, match="row 1: its answer does not begin with colour, mood"):
        labeller.parts({"id": "1", "answer": '{"mood": "warm", "colour": "red", "reply": ""}'}, ANSWER, 2)


def test_the_rest_alone_is_trained_on_and_the_beginning_is_part_of_what_is_asked(tokenizer: Any) -> None:
    row, whole = begun(plain()), encode(tokenizer, plain())
    encoded = encode(tokenizer, row)
    assert encoded["input_ids"] == whole["input_ids"]  # a colon ends a word, and a blank begins one
    trained = [token for token, is_on in zip(encoded["input_ids"], sft.trained_on(encoded), strict=True) if is_on]
    assert tokenizer.decode(trained) == ' "Put it on the red shelf."}' + tiny.END
    asked = encode_question(tokenizer, row)
    assert asked == encoded["input_ids"][: encoded["prompt_length"]]
    assert tokenizer.decode(asked[len(encode_prompt(tokenizer, row["messages"])) :]) == row[GIVEN]


def test_a_row_without_a_beginning_keeps_its_bytes(tokenizer: Any) -> None:
    assert encode_question(tokenizer, plain()) == encode_prompt(tokenizer, plain()["messages"])
    assert encode(tokenizer, plain())["prompt_length"] == len(encode_prompt(tokenizer, plain()["messages"]))


def test_columns_weigh_in_the_rest_and_nothing_in_what_is_given(tokenizer: Any) -> None:
    row = begun(plain(), colour="blue", mood="warm")
    encoded = weigh_columns(tokenizer, row, encode(tokenizer, row), {"colour": 9.0, "reply": 3.0})
    ids = encoded["input_ids"][encoded["prompt_length"] :]
    heavy = [token for token, weight in zip(ids, encoded["weights"], strict=True) if weight == 3]
    assert tokenizer.decode(heavy).strip() == '"Put it on the red shelf."}'
    assert set(encoded["weights"]) == {1.0, 3.0}


def test_the_template_is_held_against_the_beginning_too(tokenizer: Any) -> None:
    check_template(tokenizer, begun(plain()))


def test_an_answer_is_what_was_given_and_what_was_written_and_likelihood_is_of_the_rest(base: Any) -> None:
    model, reader = answers.load_body(base), load_tokenizer(base)
    right, wrong = begun(plain()), begun(plain(), colour="blue", mood="warm")
    made = answers.answer(model, reader, [right, wrong], 2, 4, "tuned").predictions
    assert [row["text"].startswith(row[GIVEN]) for row in made] == [True, True]
    assert {row["answer"] for row in made} == {plain()["answer"]}
    assert [(row[GIVEN], row[REST]) for row in made] == [(row[GIVEN], row[REST]) for row in (right, wrong)]
    trained = encode(reader, right)
    assert {row["tokens"] for row in made} == {len(trained["input_ids"]) - trained["prompt_length"]}
    (alone,) = answers.answer(model, reader, [right], 1, 4, "parent", takes_given=False).predictions
    (unhelped,) = answers.answer(model, reader, [plain()], 1, 4, "parent").predictions
    assert (alone["text"], alone["token_ids"]) == (unhelped["text"], unhelped["token_ids"])
    assert alone["tokens"] == made[0]["tokens"]
    assert alone["nll"] == pytest.approx(made[0]["nll"], rel=2e-3)  # read in other pieces, in bfloat16


@pytest.mark.parametrize("missing", [heads.FILE, heads.WEIGHTS])
def test_a_classifier_without_its_heads_is_not_put_together(missing: str, tmp_path: Path) -> None:
    weights, adapter = tmp_path / "weights", tmp_path / "adapter"
    weights.mkdir()
    adapter.mkdir()
    for name in {heads.FILE, heads.WEIGHTS} - {missing}:
        (adapter / name).write_text("{}")
    with pytest.raises(FileNotFoundError, match=missing):
        labeller.write(weights, adapter, ["mood", "reply"], tmp_path / "made")
