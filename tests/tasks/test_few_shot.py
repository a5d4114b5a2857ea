"""Few-shot: at most four fixed examples before each question, which are read once, and no rows where there are none."""

import pytest

from tasks.dialogues.chat import encode_question, load_tokenizer
from tasks.errors import AnnealError
from tasks.files import read_json, read_jsonl, write_json, write_jsonl
from tasks.formats.answer import JsonAnswer, format_of
from tasks.stages import few_shot as stage
from tasks.stages.predict.params import Predict
from tests import tiny
from tests.sentences import Says

FORM = JsonAnswer(("colour", "mood", "reply"))


def test_the_examples_are_of_the_commonest_classes_and_follow_from_the_rows_alone():
    rows = tiny.prepared_rows(0, 40)  # four colours, equally many
    chosen = stage.choose(rows, FORM)
    assert sorted(row["row"]["colour"] for row in chosen) == sorted(tiny.COLOURS)
    assert chosen == stage.choose(rows[::-1], FORM)
    mostly = [row for row in rows if row["row"]["colour"] == "red"] + rows[:4]
    assert stage.choose(mostly, FORM)[0]["row"]["colour"] == "red"
    two = [row for row in rows if row["row"]["colour"] in ("red", "blue")]
    assert [row["row"]["colour"] for row in stage.choose(two, FORM)] == ["blue", "red", "blue", "red"]
    assert len({row["id"] for row in stage.choose(two, FORM)}) == 4


def test_few_rows_and_rows_without_labels_give_examples_too():
    rows = tiny.prepared_rows(0, 3)
    assert [row["id"] for row in stage.choose(rows, format_of("{{ reply }}"))] and len(stage.choose(rows, FORM)) == 3
    assert stage.choose([], FORM) == []


def test_an_example_is_a_question_and_its_answer_without_the_systems_turn():
    row = tiny.prepared_rows(0, 1)[0]
    question, answer = stage.as_turns([row])
    assert question == row["messages"][-1] and answer == {"role": "assistant", "content": row["answer"]}


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"example": "labelled"}, "a parent cannot be shown examples of rows that are labelled"),
        ({"example": "text"}, "a parent cannot be shown examples of rows that are text"),
        ({"example": "chat", "tools": ["find"]}, "tool calls are not shown as examples"),
    ],
)
def test_where_there_can_be_no_examples_there_are_no_rows_and_a_reason(tmp_path, spec, words):
    write_jsonl(tmp_path / "test.jsonl", tiny.prepared_rows(0, 2))
    write_json(tmp_path / "format.json", {"answer": ["colour"], **spec})
    stage.few_shot(Predict(), tmp_path / "none", tmp_path, tmp_path / "out")
    assert read_jsonl(tmp_path / "out/predictions.jsonl") == []
    assert read_json(tmp_path / "out/timing.json") == {"seconds_per_answer": 0.0, "reason": words}


@pytest.mark.slow  # torch is loaded
def test_the_parent_is_asked_behind_the_examples_and_its_rows_are_told_without_them(base, prepared, tmp_path):
    rows = read_jsonl(prepared / "test.jsonl")
    stage.few_shot(Predict(max_new_tokens=4), base, prepared, tmp_path / "out")
    told, timing = read_jsonl(tmp_path / "out/predictions.jsonl"), read_json(tmp_path / "out/timing.json")
    assert [(each["id"], each["messages"], each["answer"]) for each in told] == [
        (row["id"], row["messages"], row["answer"]) for row in rows
    ]
    assert len(timing["examples"]) == 4 and timing["structured"] is True and "reason" not in timing
    known = {row["id"]: row for row in read_jsonl(prepared / "train.jsonl")}
    assert set(timing["examples"]) <= set(known)
    turns = stage.as_turns([known[name] for name in timing["examples"]])
    asked = encode_question(
        load_tokenizer(base), {**rows[0], "messages": stage.insert_examples(turns, rows[0]["messages"])}
    )
    text = load_tokenizer(base).decode(asked)
    assert text.count("assistant") == 5 and all(known[name]["answer"] in text for name in timing["examples"])


@pytest.mark.slow  # a tokenizer is loaded
def test_examples_that_do_not_fit_into_the_context_are_left_out_and_that_is_said(base, monkeypatch):
    rows = tiny.prepared_rows(0, 8)
    tokenizer, examples = load_tokenizer(base), rows[4:]
    lengths = [
        max(
            len(
                encode_question(
                    tokenizer, {**row, "messages": stage.insert_examples(stage.as_turns(part), row["messages"])}
                )
            )
            for row in rows[:4]
        )
        for part in (examples[:2], examples[:1], [])
    ]
    for room, count in ((lengths[0] + 5, 2), (lengths[0] + 4, 1), (lengths[1] + 4, 0)):
        monkeypatch.setattr(stage, "context_length", lambda parent, room=room: room)
        taken, reason = stage.fit_in_context(Predict(max_new_tokens=5), base, rows[:4], examples)
        assert taken == examples[:count]
        assert reason == Says(f"{count} of 4 examples fit", f"{room} tokens")
    monkeypatch.undo()
    assert (
        stage.fit_in_context(Predict(), base, rows[:4], examples) == (examples, "")
        and stage.context_length(base) == 2048
    )


@pytest.mark.slow  # a tokenizer is loaded
def test_a_template_that_takes_no_examples_is_said(base, monkeypatch):
    def refuse(*_: object) -> list[int]:
        raise AnnealError("one turn alone")

    monkeypatch.setattr(stage, "encode_question", refuse)
    rows = tiny.prepared_rows(0, 2)
    assert stage.fit_in_context(Predict(), base, rows, rows) == (
        [],
        Says("chat template", "one turn alone"),
    )
