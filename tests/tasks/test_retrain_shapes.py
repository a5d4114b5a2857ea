"""A corrected answer becomes a row of the source in its own shape, which prepare reads as it was asked."""

import json
from pathlib import Path

import pytest

from tasks import kinds
from tasks.files import write_jsonl
from tasks.params import Params
from tasks.records import database
from tasks.retrain.decide import should_retrain
from tasks.retrain.gather import gather
from tasks.retrain.harvest import harvest
from tasks.stages.ingest import Ingest, read, with_columns
from tasks.stages.prepare import shapes
from tests.tasks.corrections import NOW, ask, task

TURNS = [{"from": "human", "value": "Where is tea?"}, {"from": "gpt", "value": "On shelf 2."}]
CALLS = '[{"name": "search", "arguments": {"q": "milk"}}]'


def of_shape(shape: str, ingest: dict, prepare: dict) -> Params:
    params = task(["a"], [], source="data/seed/rows")
    section = kinds.load(shapes.__name__, shape).Params(shape=shape, **prepare)
    read_as = Ingest(source="data/seed/rows", **ingest)
    dataset = params.datasets["tickets"].model_copy(update={"prepare": section, "ingest": read_as})
    model = params.models["triage"].model_copy(update={"evaluate": params.models["triage"].evaluate.model_copy(
        update={"texts": []})})  # fmt: skip
    return params.model_copy(update={"datasets": {"tickets": dataset}, "models": {"triage": model}})


@pytest.mark.parametrize(
    ("shape", "row", "ingest", "prepare", "asked", "corrected"),
    [
        ("chat", {"conversations": TURNS, "tools": []}, {"json_columns": ["conversations", "tools"]},
         {"messages": "conversations"}, {"question": "Where is milk?"}, {"answer": "On shelf 3."}),
        ("chat", {"messages": TURNS}, {"json_columns": ["messages"]}, {}, {"question": "Where is milk?"},
         {"answer": CALLS}),
        ("alpaca", {"prompt": "Sort.", "completion": "a b"}, {}, {"instruction": "prompt", "output": "completion"},
         {"instruction": "Count.", "input": ""}, {"output": "1 2"}),
        ("pair", {"translation": {"en": "tea", "de": "Tee"}}, {"json_columns": ["translation"]},
         {"source": "translation.en", "target": "translation.de"}, {"source": "milk"}, {"target": "Milch"}),
        ("pair", {"source": "tea", "target": "Tee"}, {}, {}, {"source": "milk"}, {"target": "Milch"}),
        ("labelled", {"text": "It is late", "topic": "parcel"}, {}, {"user": "{{ text }}", "labels": ["topic"]},
         {"text": "Where is my box?"}, {"topic": "parcel"}),
        ("labelled", {"text": "It is late", "topic": "2"}, {},
         {"user": "{{ text }}", "labels": ["topic"], "class_names": {"1": "bill", "2": "parcel"}},
         {"text": "Where is my box?"}, {"topic": "parcel"}),
        ("scored", {"text": "It is late", "stars": "2.0"}, {}, {"user": "{{ text }}", "numbers": ["stars"]},
         {"text": "Where is my box?"}, {"stars": "1.5"}),
        ("tagged", {"tokens": ["Lee", "left"], "tags": ["B-PER", "O"]}, {"json_columns": ["tokens", "tags"]}, {},
         {"text": "Anna left ."}, {"entities": '[{"label": "PER", "text": "Anna", "start": 0, "end": 4}]'}),
        ("spans", {"question": "Who?", "context": "Lee left.", "answers": {"text": ["Lee"], "answer_start": [0]}},
         {"json_columns": ["answers"]}, {}, {"question": "Who left?", "context": "Anna left."}, {"answer": "Anna"}),
        ("spans", {"q": "Who?", "text": "Lee left.", "a": "Lee"}, {},
         {"question": "q", "context": "text", "answer": "a"}, {"question": "When?", "context": "Anna left."},
         {"answer": ""}),
    ],
)  # fmt: skip
def test_a_correction_becomes_a_row_of_the_shape(
    shape: str, row: dict, ingest: dict, prepare: dict, asked: dict, corrected: dict,
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    write_jsonl(Path("data/seed/rows/first.jsonl"), [row])
    params, engine = of_shape(shape, ingest, prepare), database.connect()
    ask(engine, "q1", asked, corrected)
    assert harvest(engine, params, "triage", NOW + 10).words() == "1 harvested"
    dataset = params.datasets["tickets"]
    source = Path("data/seed/rows")
    rows, _ = read(with_columns(dataset.ingest, source), source)
    made = shapes.of(dataset.prepare).example(rows[-1], dataset.prepare)
    assert made["id"] == "feedback-q1" and made["row"] == {"id": "feedback-q1", **asked, **corrected}
    if corrected.get("answer") == CALLS:
        assert [call["function"] for call in made["calls"]] == json.loads(CALLS)


PAIR = {"prompt": "Tea?", "chosen": "Yes.", "rejected": "No."}


NO_ROWS = {
    "preference": PAIR,
    "choice": PAIR,
    "rated": {"prompt": "Tea?", "answer": "Yes.", "rating": "true"},
    "text": {"text": "T"},
}


def corrected_in_vain(shape: str) -> Params:
    """The params of a shape that no correction becomes a row of, here, with two requests that were corrected."""
    write_jsonl(Path("data/seed/rows/first.jsonl"), [NO_ROWS[shape]])
    engine = database.connect()
    for number in range(2):
        ask(engine, f"q{number}", {"question": "Milk?"}, {"answer": "Yes."})
    ask(engine, "q1", {"question": "Milk?"}, {"answer": "No."})  # the same request, corrected again
    return of_shape(shape, {}, {})


@pytest.mark.parametrize("shape", NO_ROWS)
def test_corrections_that_make_no_rows_are_counted_each_time_with_the_reason_and_kept(
    shape: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    params, engine = corrected_in_vain(shape), database.connect()
    why = f"corrected answers make no rows of the shape {shape}"
    for _ in range(2):
        assert harvest(engine, params, "triage", NOW + 10).words() == f"0 harvested, 2 skipped (most often: {why})"
    assert [file.name for file in Path("data/seed/rows").iterdir()] == ["first.jsonl"]


@pytest.mark.parametrize("shape", NO_ROWS)
def test_the_decision_to_retrain_says_that_corrections_make_no_rows(
    shape: str, store: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    params, engine = corrected_in_vain(shape), database.connect()
    facts = gather(engine, params, "triage", NOW + 10)
    why = f"corrected answers make no rows of the shape {shape}"
    assert (facts.labelled, facts.useless, facts.why_useless) == (0, 2, why)
    words = f"✗ 0 new labelled rows, 200 would start one; 2 corrected answers are not learnt from: {why}"
    assert words in should_retrain(params.retrain, facts, NOW + 10).reasons


def test_useless_corrections_do_not_fail_a_retraining_whose_source_is_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_jsonl(Path("data/seed/rows"), [PAIR])
    params, engine = of_shape("preference", {}, {}), database.connect()
    ask(engine, "q1", {"question": "Milk?"}, {"answer": "Yes."})
    assert harvest(engine, params, "triage", NOW + 10).skipped == 1
