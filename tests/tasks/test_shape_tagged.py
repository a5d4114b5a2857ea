"""Rows with marked entities read the same however they are marked, and what is not one tag a token or not of the text's
words is set aside with its reason.
"""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.files import read_json
from tasks.formats import entities
from tasks.formats.answer import canonical_answer, format_of, problem
from tasks.formats.entities import Entity
from tasks.preflight.labels import measured
from tasks.stages.evaluate.measures.entity_f1 import entity_f1
from tasks.stages.evaluate.predictions import read
from tasks.stages.prepare.rows import SetAside
from tasks.stages.prepare.shapes import tagged
from tasks.texts.clean import is_blank
from tests.examples import examples
from tests.tasks.preparing import SPLITS, bodies, run
from tests.tasks.scored import text_row

TEXT = "Anna Lee lives in Berlin ."
ANSWER = (
    '[{"label": "PER", "text": "Anna Lee", "start": 0, "end": 8}, '
    '{"label": "LOC", "text": "Berlin", "start": 18, "end": 24}]'
)
FORM = format_of({"entities": list(entities.FIELDS)})
TOKENS = json.dumps(TEXT.split())


def made(raw: dict[str, str], **keys: object) -> dict:
    return dict(tagged.example({"id": "1", **raw}, tagged.Params(shape="tagged", **keys)))


@pytest.mark.parametrize(
    "tags",
    [
        "B-PER I-PER O O B-LOC O",
        "I-PER I-PER O O I-LOC O",
        "B-PER E-PER O O S-LOC O",
        "B-PER L-PER O O U-LOC O",
        "PER PER O O LOC O",
        '["B-PER", "I-PER", "O", "O", "B-LOC", "O"]',
        "['B-PER', 'I-PER', 'O', 'O', 'B-LOC', 'O']",
        "[3, 4, 0, 0, 1, 0]",
    ],
)
def test_every_scheme_reads_as_the_same_entities(tags: str) -> None:
    names = ["O", "B-LOC", "I-LOC", "B-PER", "I-PER"]
    row = made({"tokens": TOKENS, "tags": tags}, names=names)
    assert row["answer"] == row["row"]["entities"] == ANSWER
    assert row["messages"] == [{"role": "user", "content": TEXT}]


@pytest.mark.parametrize(
    ("raw", "keys"),
    [
        ({"text": TEXT, "spans": '[{"start": 18, "end": 24, "label": "LOC"}, {"start": 0, "end": 9, "label": "PER"}]'},
         {"spans": "spans"}),
        ({"sentence": TEXT, "label": '[[0, 8, "PER"], [18, 24, "LOC"], [18, 24, "LOC"]]'},
         {"text": "sentence", "spans": "label"}),
        ({"text": "# id 7\nAnna NNP B-PER\nLee NNP I-PER\nlives VB O\nin IN O\nBerlin NNP B-LOC\n. . O\n"},
         {"conll": "text"}),
    ],
)  # fmt: skip
def test_spans_and_lines_are_the_same_rows(raw: dict[str, str], keys: dict) -> None:
    assert made(raw, **keys)["answer"] == ANSWER


def test_spans_move_with_what_cleaning_takes_out() -> None:
    text = "\ufeff  Ze\u0301 \t\r\nmet\u200b Anna"
    start = text.index("Anna")
    row = made({"text": text, "spans": json.dumps([[start, start + 4, "PER"], [3, 6, "PER"]])}, spans="spans")
    assert [(one.label, row["row"]["text"][one.start : one.end]) for one in entities.spans(row["answer"])] == [
        ("PER", "Z\u00e9"), ("PER", "Anna"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("raw", "keys", "words"),
    [
        ({"tokens": TOKENS, "tags": "O O"}, {}, "it has 6 tokens and 2 tags"),
        ({"tokens": '["a"]', "tags": "[7]"}, {}, "its tag 7 is a number without a name"),
        ({"tokens": '[["a"]]', "tags": "O"}, {}, "`tokens` is not a list of tokens or tags"),
        ({"tokens": "[]", "tags": "[]"}, {}, "its text is empty"),
        ({"text": "Anna", "spans": '[[0, 9, "PER"]]'}, {"spans": "spans"},
         "the span from 0 to 9 is outside its text of 4 characters"),
        ({"text": "Anna", "spans": '[[-1, 2, "PER"]]'}, {"spans": "spans"},
         "the span from -1 to 2 is outside its text"),
        ({"text": "Anna Lee", "spans": '[[0, 3, "PER"]]'}, {"spans": "spans"},
         "the span from 0 to 3 \\('Ann'\\) begins or ends within a word"),
        ({"text": "Anna Lee", "spans": '[[0, 8, "PER"], [5, 8, "PER"]]'}, {"spans": "spans"}, "overlaps another"),
        ({"text": "Anna", "spans": '[[0, 4, " "]]'}, {"spans": "spans"}, "the span from 0 to 4 has no label"),
        ({"text": "Anna", "spans": '{"start": 0}'}, {"spans": "spans"}, "`spans` is not a list of spans"),
        ({"text": "Anna PER-B\nLee"}, {"conll": "text"}, r"its line 1 \('Anna PER-B'\) does not end in a tag"),
    ],
)  # fmt: skip
def test_what_is_no_such_row_is_set_aside_with_its_reason(raw: dict[str, str], keys: dict, words: str) -> None:
    with pytest.raises(SetAside, match=words):
        made(raw, **keys)


tags = st.lists(st.sampled_from("O B-PER I-PER B-LOC I-LOC E-LOC S-PER PER".split()), min_size=1, max_size=9)


@examples(100)
@given(tags)
def test_tags_read_as_seqeval_reads_them_and_come_back_as_one_scheme(tags: list[str]) -> None:
    from seqeval.metrics.sequence_labeling import get_entities

    known = entities.from_tags(tags)
    theirs = get_entities([f"I-{tag}" if tag == "PER" else tag for tag in tags])
    assert [(one.label, one.start, one.end - 1) for one in known] == theirs
    words = [(place, place + 1) for place in range(len(tags))]
    assert entities.from_tags(entities.to_tags(known, words)) == known


@examples(60)
@given(st.text("ab1.,- \u00e9\u6771\u0915\u093f", min_size=1, max_size=12))
def test_words_are_all_that_is_not_blank_and_what_a_correction_makes_reads_back(text: str) -> None:
    words = entities.words(text)
    assert "".join(text[start:end] for start, end in words).split() == ["".join(text.split())] * bool(text.split())
    marked = [Entity(*words[0], "X")] if words else []
    assert entities.problem(text, marked) is None
    row = {"text": text.strip(), "entities": entities.to_json(text.strip(), [])}
    for keys in ({}, {"conll": "lines"}, {"spans": "spans"}):
        params = tagged.Params(shape="tagged", **keys)
        source = tagged.source_row(row, params)
        if source and not is_blank(text):
            assert tagged.example({"id": "1", **source}, params)["answer"] == "[]"


def test_an_answer_is_canonical_and_what_is_none_is_said_why() -> None:
    loose = (
        '[{"start": 18,"end":24, "text":"Berlin","label":"LOC"},{"label":"PER","text":"Anna Lee","start":0,"end":8}]'
    )
    assert FORM.read(loose) == {"entities": ANSWER} == canonical_answer(FORM, {"entities": loose})
    assert problem(FORM, {"entities": loose}, {}) is None and FORM.read("[]") == {"entities": "[]"}
    for wrong in ("", "{}", "[1]", ANSWER.replace("24", "25"), ANSWER.replace('"PER"', '""'), "[" * 9999,
                  ANSWER.replace("18", "4").replace("24", "10")):  # fmt: skip
        assert FORM.read(wrong) is None
        assert str(problem(FORM, {"entities": wrong}, {})).startswith("`entities` must be a JSON list of entities")


def test_f1_of_entities_by_characters_is_that_of_their_tags() -> None:
    rows = read([text_row(told, ANSWER) for told in (ANSWER, "[]", "not one")], FORM, {})
    assert entity_f1("entities").rows(rows).tolist() == [[2, 0, 0], [0, 0, 2], [0, 0, 2]]


def test_an_entity_that_training_never_saw_is_set_aside_and_the_same_text_with_other_entities_contradicts(
    tmp_path: Path,
) -> None:
    with_a, with_b, none = (" ".join([first, *["O"] * 11]) for first in ("B-A", "B-B", "O"))
    rows = [{"id": f"r{i:02}", "tokens": text, "tags": with_a} for i, text in enumerate(bodies(40))]
    again = [{**rows[0], "id": "s0", "tags": none}, {**rows[1], "id": "s1"}]
    params = tagged.Params(shape="tagged", validation_share=0.2, test_share=0.3)
    split = run(tmp_path / "first", rows, params, [])
    strange = next(row["id"] for row in split["test"] if row["id"] > "r01")
    rows = [{**row, "tags": with_b} if row["id"] == strange else row for row in rows]
    split = run(tmp_path / "second", [*rows, *again], params, [])
    reasons = {row["id"]: row["reason"] for row in split["dropped"]}
    assert reasons[strange] == "an entity is 'B' in the test split and in no row of training"
    assert reasons["s0"].startswith("contradicts") and reasons["r00"].startswith("contradicts")
    assert reasons["s1"] == "near-duplicate of r01" and all(split[name] for name in SPLITS)
    assert read_json(tmp_path / "second" / "out" / "format.json")["answer"] == {"entities": list(entities.FIELDS)}


def test_what_is_measured_is_filled_in() -> None:
    dataset = {"ingest": {"source": "rows.jsonl"}, "prepare": {"shape": "tagged"}}
    assert measured(dataset) == {"tags": ["entities"]}
