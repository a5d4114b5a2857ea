"""The prompts of a win rate are held out by both models and asked once; known answers are used again."""

from pathlib import Path

import pytest

from tasks.comparison.win_rate.players import Player
from tasks.comparison.win_rate.prompts import held_out
from tasks.errors import AnnealError
from tasks.files import read_jsonl, write_jsonl
from tasks.stages.predict.params import Predict
from tests import tiny


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    return tiny.write_prepared(tmp_path / "prepared", 16)


def test_prompts_that_were_trained_on_are_left_out_and_counted(prepared: Path, tmp_path: Path) -> None:
    rows = read_jsonl(prepared / "test.jsonl")
    assert held_out(prepared, [prepared], None).rows == rows
    louder = {
        **rows[0],
        "id": "other",
        "messages": [{**turn, "content": turn["content"].upper()} for turn in rows[0]["messages"]],
    }
    write_jsonl(tmp_path / "other/train.jsonl", [louder])
    write_jsonl(tmp_path / "third/validation.jsonl", [rows[1]])
    asked = held_out(prepared, [prepared, tmp_path / "other", tmp_path / "third"], None)
    assert asked.rows == rows[2:] and asked.seen == 2
    with pytest.raises(AnnealError, match=f"all {len(rows)} test rows of .* were trained on by one of the two models"):
        write_jsonl(tmp_path / "third/validation.jsonl", rows)
        held_out(prepared, [tmp_path / "third"], None)


def test_a_prompt_is_asked_once_and_a_part_is_drawn_whatever_the_order(prepared: Path) -> None:
    rows = read_jsonl(prepared / "test.jsonl")
    write_jsonl(prepared / "test.jsonl", [*rows, {**rows[0], "id": "again"}])
    asked = held_out(prepared, [], None)
    assert asked.rows == rows and asked.repeated == 1
    few = held_out(prepared, [], 2).rows
    write_jsonl(prepared / "test.jsonl", rows[::-1])
    assert sorted(row["id"] for row in held_out(prepared, [], 2).rows) == sorted(row["id"] for row in few)


def test_texts_without_a_prompt_are_refused(prepared: Path) -> None:
    write_jsonl(prepared / "test.jsonl", [{"id": "1", "messages": [], "answer": "a text", "row": {}}])
    with pytest.raises(AnnealError, match=r"test.jsonl has no prompts to answer"):
        held_out(prepared, [], None)


def test_answers_of_predict_are_used_only_where_the_question_is_the_same(prepared: Path, tmp_path: Path) -> None:
    rows = read_jsonl(prepared / "test.jsonl")
    told = [{**row, "text": "?", "token_ids": [1], "finished": True, "nll": 1.0, "tokens": 2} for row in rows]
    player = Player("mine", prepared, prepared, Predict(), tmp_path)
    assert player.known(rows) is None
    write_jsonl(tmp_path / "predict/predictions.jsonl", told[::-1])
    assert player.known(rows[1:]) == told[1:]
    assert player.known([{**rows[0], "given": "{"}]) is None
    assert player.known([{**rows[0], "id": "other"}]) is None
    assert Player("base", prepared, None, Predict(), tmp_path).known(rows) is None
