"""How sure an answer may be is how often a model's own answers to the row were right, in the nearest word."""

import json
from pathlib import Path

import pytest

from tasks.dataset.rows import prompt
from tasks.errors import AnnealError
from tasks.files import read_json, read_jsonl
from tasks.formats.answer import format_of
from tasks.judging import confidence
from tasks.texts.clean import folded
from tests import tiny

FORM = format_of(tiny.PREPARE.answer)


def sampled(place: int, *right: bool) -> dict:
    """A row with an answer for each of `right`; a wrong one has another colour, and each another reply."""
    row = tiny.prepared_rows(place, 1)[0]
    of = json.loads(row["answer"])
    texts = [{**of, "colour": of["colour"] if each else "grey", "reply": f"{i}"} for i, each in enumerate(right)]
    facts = {"temperature": 1.0, "tokens": 3, "finished": True}
    return {**row, "answers": [{"text": json.dumps(text), **facts} for text in texts]}


@pytest.mark.parametrize(
    ("right", "word"),
    [([True] * 4, "high"), ([True, True, True, False], "medium"), ([True, False], "medium"), ([False] * 4, "low")],
)
def test_the_word_is_the_nearest(right: list[bool], word: str) -> None:
    (row,) = confidence.labelled([sampled(0, *right)], FORM, ["colour"])
    assert row == {"id": "thing-0000", **tiny.prepared_rows(0, 1)[0]["row"], "confidence": word}


def test_without_columns_the_whole_answer_must_be_right_and_what_cannot_be_read_is_wrong() -> None:
    row = sampled(0, True, True)
    assert confidence.share(row, FORM, []) == 0.0  # the replies differ
    row["answers"][0]["text"] = "?"
    assert confidence.share(row, FORM, ["colour"]) == 0.5


def test_of_two_words_equally_near_the_less_sure_is_said() -> None:
    assert confidence.word(0.5, {"high": 0.75, "low": 0.25}) == "low"


def test_rows_that_the_model_knows_are_counted(tmp_path: Path) -> None:
    rows = [sampled(0, True, True), sampled(1, False, False), sampled(2, True, False)]
    facts = confidence.write(tmp_path / "out", rows, FORM, ["colour"], frozenset({folded(prompt(rows[1]))}))
    assert facts == {"rows": 3, "trained": 1, "right": 0.5, "words": {"low": 1, "medium": 1, "high": 1}}
    assert read_json(tmp_path / "out/facts.json") == facts and len(read_jsonl(tmp_path / "out/rows.jsonl")) == 3


def test_a_column_of_that_name_is_not_overwritten() -> None:
    row = sampled(0, True)
    row["row"] = {**row["row"], "confidence": "sure"}
    with pytest.raises(AnnealError, match="the rows have a column `confidence` already"):
        confidence.labelled([row], FORM, [])
