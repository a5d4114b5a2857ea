"""Questions about a text read the same however their answers are given; what does not stand where it is said to is set
aside with its reason; all questions about a text are in one split.
"""

import csv
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.formats.answer import format_of, problem
from tasks.formats.span_answer import places
from tasks.formats.spans import Span, read, span_of, to_json
from tasks.preflight.recognise import recognise
from tasks.stages.ingest import Ingest
from tasks.stages.ingest import read as ingested
from tasks.stages.ingest.json_rows import read_json
from tasks.stages.prepare.rows import SetAside
from tasks.stages.prepare.shapes import spans
from tasks.stages.prepare.split_or_drop import assign
from tasks.texts.clean import clean
from tests.examples import examples
from tests.tasks.preparing import bodies

CONTEXT = "Anna Lee was born in Bern. She left Bern in 1987."
FORM = format_of({"answer": ["answer", "start", "end"]})
SQUAD = {"text": ["Bern"], "answer_start": [21]}


def made(raw: dict[str, str], **keys: object) -> dict:
    whole = {"id": "1", "question": "Where?", "context": CONTEXT, **raw}
    return dict(spans.example(whole, spans.Params(shape="spans", **keys)))


@pytest.mark.parametrize(
    ("raw", "keys"),
    [
        ({"answers": json.dumps(SQUAD)}, {}),
        ({"answers": str(SQUAD)}, {}),
        ({"answers": json.dumps({"text": "Bern", "answer_start": 21})}, {}),
        ({"answers": json.dumps([{"text": "Bern", "answer_start": 21}])}, {}),
        ({"answers": json.dumps({"text": [" Bern"], "answer_start": [20]})}, {}),
        ({"a.text": '["Bern"]', "a.start": "[21]"}, {"answer": "a.text", "start": "a.start"}),
        ({"a": "Bern", "s": "21"}, {"answer": "a", "start": "s"}),
        ({"a": "Bern", "s": "21.0"}, {"answer": "a", "start": "s"}),
        ({"a": "Bern", "context": "Anna Lee was born in Bern, the town of Berner."}, {"answer": "a"}),
    ],
)
def test_every_way_to_give_an_answer_is_the_same_row(raw: dict[str, str], keys: dict) -> None:
    row = made(raw, **keys)
    assert json.loads(row["answer"]) == {"answer": "Bern", "start": 21, "end": 25}
    assert row["messages"] == [{"role": "user", "content": f"Where?\n{row['row']['context']}"}]
    assert set(row["row"]) == {"id", "question", "context", "answer"} and row["row"]["answer"] == "Bern"


def test_of_several_right_answers_the_commonest_is_learnt_and_the_others_are_as_right() -> None:
    answers = [("in Bern", 18), ("Bern", 21), ("Bern", 21), ("Bern", 36)]
    row = made({"answers": json.dumps([{"text": text, "answer_start": start} for text, start in answers])})
    assert json.loads(row["answer"]) == {"answer": "Bern", "start": 21, "end": 25, "others": ["in Bern"]}
    assert FORM.read(row["answer"]) == {"answer": "Bern"}


@pytest.mark.parametrize(
    ("raw", "keys"),
    [
        ({"answers": '{"text": [], "answer_start": []}'}, {}),
        ({"answers": "[]"}, {}),
        ({"answers": ""}, {}),
        ({"a": " "}, {"answer": "a"}),
        ({"a": "", "s": "-1"}, {"answer": "a", "start": "s"}),
    ],
)
def test_a_context_may_have_no_answer(raw: dict[str, str], keys: dict) -> None:
    row = made(raw, **keys)
    assert json.loads(row["answer"]) == {"answer": "", "start": None, "end": None} and row["row"]["answer"] == ""


def test_spans_move_with_what_cleaning_takes_out() -> None:
    context = "\ufeff  Ze\u0301 \t\r\nmet\u200b Anna  "
    for answer in ("Anna", "e\u0301 \t\r\nmet"):
        given = {"text": [answer], "answer_start": [context.index(answer)]}
        row = made({"context": context, "answers": json.dumps(given)})
        assert row["row"]["context"][slice(*span_of(row["answer"]))] == clean(answer) == row["row"]["answer"]
    assert made({"question": " Where \n is\tit? ", "answers": "[]"})["row"]["question"] == "Where is it?"


@pytest.mark.parametrize(
    ("raw", "keys", "words"),
    [
        ({"answers": '{"text": ["Bern"], "answer_start": [19]}'}, {},
         "its answer 'Bern' is not at 19, where there is 'n Be': it is at 21, so the start is off by 2$"),
        ({"answers": '{"text": ["Bern"], "answer_start": [22]}'}, {}, "it is at 21, so the start is off by 1$"),
        ({"answers": '{"text": ["Rome"], "answer_start": [21]}'}, {},
         "its answer 'Rome' is not at 21, where there is 'Bern'$"),
        ({"answers": '{"text": ["Bern"], "answer_start": [99]}'}, {},
         "its answer from 99 to 103 is outside its context of 49 characters"),
        ({"answers": '{"text": ["Bern"], "answer_start": [-4]}'}, {}, "its answer from -4 to 0 is outside its context"),
        ({"answers": '{"text": ["a", "b"], "answer_start": [1]}'}, {}, "`answers` has 2 texts and 1 starts"),
        ({"answers": '{"text": [1], "answer_start": [1]}'}, {}, "`answers` is not a list of answers"),
        ({"answers": "Bern"}, {}, "`answers` is not a list of answers, each with text and answer_start"),
        ({"a": "Bern"}, {"answer": "a"}, "occurs 2 times in its context, and no start says which one is meant"),
        ({"a": "Rome"}, {"answer": "a"}, "its answer 'Rome' does not occur in its context"),
        ({"a": "Bern", "s": "here"}, {"answer": "a", "start": "s"}, "`s` is not a place in the context"),
        ({"context": " \u200b", "answers": "[]"}, {}, "its context is empty"),
        ({"question": "", "answers": "[]"}, {}, "its question is empty"),
    ],
)  # fmt: skip
def test_what_is_no_such_row_is_set_aside_with_its_reason(raw: dict[str, str], keys: dict, words: str) -> None:
    with pytest.raises(SetAside, match=words):
        made(raw, **keys)


@examples(60)
@given(st.text("ab ,\u00e9\u6771", min_size=1, max_size=9), st.integers(0, 8), st.integers(1, 4))
def test_an_answer_reads_back_and_so_does_what_a_correction_makes(text: str, start: int, length: int) -> None:
    context = clean(text)
    answer = context[start : start + length]
    if not answer.strip() or answer != answer.strip():
        return
    written = to_json(context, Span(start, start + len(answer)))
    assert span_of(written) == (start, start + len(answer))
    assert all(context.startswith(answer, place) for place in places(answer, context))
    for keys in ({}, {"answer": "a", "start": "s"}):
        params = spans.Params(shape="spans", **keys)
        row = {"question": "q", "context": context, "answer": answer, "start": str(start)}
        assert spans.example({"id": "1", **(spans.source_row(row, params) or {})}, params)["answer"] == written


def test_an_answer_is_checked_and_what_is_none_is_said_why() -> None:
    for wrong in ("", "{}", "[]", '"Bern"', '{"answer": "Bern"}', '{"answer": "", "start": 1, "end": 2}', "[" * 9999,
                  '{"answer": "b", "start": 5, "end": 5}', '{"answer": "a", "start": null, "end": null}'):  # fmt: skip
        assert read(wrong) is None and FORM.read(wrong) is None
    assert problem(FORM, {"answer": ""}, {}) is None and problem(FORM, {"answer": "Bern", "start": "21"}, {}) is None
    assert str(problem(FORM, {"answer": "Bern", "start": "x"}, {})).startswith("`start` must be the position")
    assert problem(FORM, {"answer": "Bern", "end": "2"}, {}) == "`end` is not a column of the answer (answer)"
    assert problem(FORM, {}, {}) == "it lacks `answer` (it needs answer)"


FILES = [
    ("jsonl", {"question": "Who?", "context": "Anna left", "answers": {"text": ["Anna"], "answer_start": [0]}},
     {"shape": "spans"}, {"json_columns": ["answers"]}),
    ("jsonl", {"title": "x", "Question": "Who?", "context": "Anna left", "answers": [], "is_impossible": True},
     {"shape": "spans", "question": "Question"}, {"json_columns": ["answers"]}),
    ("csv", {"question": "Who?", "context": "Anna left", "answers": "{'text': ['Anna'], 'answer_start': [0]}"},
     {"shape": "spans"}, {}),
    ("jsonl", {"question": "Who?", "passage": "Anna left", "answers.text": ["Anna"], "answers.answer_start": [0]},
     {"shape": "spans", "context": "passage", "answer": "answers.text", "start": "answers.answer_start"},
     {"json_columns": ["answers.text", "answers.answer_start"]}),
    ("csv", {"question": "Who?", "context": "Anna left", "answer": "Anna", "start": 0},
     {"shape": "spans", "answer": "answer", "start": "start"}, {}),
]  # fmt: skip


@pytest.mark.parametrize(("ending", "row", "prepare", "ingest"), FILES)
def test_the_shape_is_told_from_the_rows(ending: str, row: dict, prepare: dict, ingest: dict, tmp_path: Path) -> None:
    source = tmp_path / f"rows.{ending}"
    with source.open("w", newline="") as file:
        if ending == "csv":
            table = csv.DictWriter(file, list(row))
            table.writeheader()
            table.writerows([row] * 12)
        else:
            file.writelines(json.dumps(row) + "\n" for _ in range(12))
    told = recognise({"ingest": {"source": str(source)}})
    assert (told.prepare, told.ingest, told.undecided, told.unread) == (prepare, ingest, "", "")


def test_squads_own_file_is_a_row_for_each_question(tmp_path: Path) -> None:
    asked = [
        {"id": f"q{i}", "question": "Who?", "answers": [], "is_impossible": True, "plausible_answers": []}
        for i in range(2)
    ]
    asked[1] = {"id": "q1", "question": "Who left?", "answers": [{"text": "Anna", "answer_start": 0}]}
    paragraphs = [{"context": "Anna left.", "qas": asked}, {"context": "Lee came.", "qas": [{**asked[0], "id": "q2"}]}]
    source = tmp_path / "train-v2.0.json"
    source.write_text(json.dumps({"version": "v2.0", "data": [{"title": "x", "paragraphs": paragraphs}]}, indent=1))
    told = recognise({"ingest": {"source": str(source)}})
    assert (told.prepare, told.ingest) == ({"shape": "spans"}, {"json_columns": ["answers"]})
    rows, _ = ingested(Ingest(source=str(source), **told.ingest), source)
    made = [spans.example(row, spans.Params(shape="spans")) for row in rows]
    assert [(row["id"], row["row"]["context"], row["row"]["answer"]) for row in made] == [
        ("q0", "Anna left.", ""), ("q1", "Anna left.", "Anna"), ("q2", "Lee came.", ""),
    ]  # fmt: skip
    source.write_text(json.dumps({"data": [{"paragraphs": "none"}], "question": "Who?", "context": "x", "answers": []}))
    assert next(iter(read_json(source.read_text(), source)))[1]["question"] == "Who?"  # of another, as it is


@pytest.mark.parametrize(("answer", "may_be"), [("Anna", True), ("She did.", False)])
def test_an_answer_without_a_start_may_be_one_to_write_and_one_that_stands_nowhere_is(
    answer: str, may_be: bool, tmp_path: Path
) -> None:
    row = {"question": "Who?", "context": "Anna left", "answer": answer}
    (tmp_path / "rows.jsonl").write_text((json.dumps(row) + "\n") * 12)
    told = recognise({"ingest": {"source": str(tmp_path / "rows.jsonl")}})
    assert ("may be alpaca or spans" in told.undecided) is may_be
    assert may_be or told.prepare["shape"] == "alpaca"


def test_questions_about_a_text_share_its_split_and_only_the_same_question_repeats_another() -> None:
    contexts, params = bodies(40), spans.Params(shape="spans", validation_share=0.2, test_share=0.3)
    rows = [
        {"id": f"{i}-{question}", "question": f"{question} word?", "context": text, "answers": first(text)}
        for i, text in enumerate(contexts)
        for question in ("First", "Best")
    ]
    again = {**rows[0], "id": "again", "question": "first  WORD?"}
    other = {**rows[2], "id": "other", "answers": json.dumps({"text": [], "answer_start": []})}
    nearly = {**rows[4], "id": "nearly", "context": f"{rows[4]['context']}!", "answers": "[]"}
    made = assign([spans.example(row, params) for row in (*rows, again, other, nearly)], params)
    where: dict[str, set[str]] = {}
    for placed in made.kept:
        where.setdefault(placed.row["row"]["context"], set()).add(placed.split)
    assert all(len(splits) == 1 for splits in where.values()) and len(set.union(*where.values())) == 3
    reasons = {row.row["id"]: row.reason for row in made.dropped}
    assert reasons["again"] == "near-duplicate of 0-First" and reasons["other"].startswith("contradicts 1-First")
    assert reasons["1-First"].startswith("contradicts other")
    assert {"2-First", "nearly"} & set(reasons) and len(reasons) == 4 + ("2-Best" in reasons)


def first(text: str) -> str:
    return json.dumps({"text": [text.split()[0]], "answer_start": [0]})
