"""A corrected answer becomes a row of the source in its own shape, which prepare reads as it was asked."""

import json
from pathlib import Path

import pytest

from tasks import database, kinds
from tasks.files import write_jsonl
from tasks.ingest import Ingest, read, resolved
from tasks.params import Params
from tasks.prepare import shapes
from tasks.retrain.harvest import harvest
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
    rows, _ = read(resolved(dataset.ingest, source), source)
    made = shapes.of(dataset.prepare).example(rows[-1], dataset.prepare)
    assert made["id"] == "feedback-q1" and made["row"] == {"id": "feedback-q1", **asked, **corrected}
    if corrected.get("answer") == CALLS:
        assert [call["function"] for call in made["calls"]] == json.loads(CALLS)


def test_preferences_take_no_corrected_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_jsonl(Path("data/seed/rows/first.jsonl"), [{"prompt": "Tea?", "chosen": "Yes.", "rejected": "No."}])
    params, engine = of_shape("preference", {}, {}), database.connect()
    ask(engine, "q1", {"question": "Milk?"}, {"answer": "Yes."})
    words = "0 harvested, 1 skipped (most often: corrected answers make no rows of the shape preference)"
    assert harvest(engine, params, "triage", NOW + 10).words() == words
    assert [file.name for file in Path("data/seed/rows").iterdir()] == ["first.jsonl"]
