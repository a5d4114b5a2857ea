"""The toy project with three models that read, on one tiny encoder: one tells classes, one a number, one answers
questions about texts.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx

from tasks.files import read_jsonl, write_json, write_jsonl
from tests import encoders, tiny
from tests.flows import project
from tests.flows.served import targets

SPLIT = {"validation_share": 0.15, "test_share": 0.2, "near_duplicate_similarity": 1.0, "contamination_similarity": 1.0}
WEIGHTS = {size: 100 + 1.5 * place for place, size in enumerate(tiny.SIZES)}
COLUMNS = ["question", "context", "answer"]


@dataclass(frozen=True)
class Reader:
    """A row of models: what is asked about a thing, and what a person corrects the answer to."""

    model: str
    given: Callable[[dict], dict]
    right: Callable[[dict], dict]

    def ask(self, client: httpx.Client, thing: dict) -> dict:
        """What the gateway answers about a thing."""
        answer = client.post(f"/tasks/{self.model}", json={"input": self.given(thing)})
        told: dict = answer.raise_for_status().json()
        return told

    def correct(self, client: httpx.Client, thing: dict) -> None:
        """Ask about a thing, and send the right answer as a correction."""
        correction = {"request_id": self.ask(client, thing)["request_id"], "correction": self.right(thing)}
        client.post("/feedback", json=correction).raise_for_status()


def cells(thing: dict) -> dict:
    """The columns that say what a thing is."""
    return {name: thing[name] for name in ("thing", "size")}


def question(thing: dict) -> dict:
    """The columns of a question about a thing."""
    row: dict = encoders.span_row(thing)["row"]
    return row


CLASSES = Reader("things", cells, lambda thing: {name: thing[name] for name in encoders.LABELS})
NUMBERS = Reader("weigher", cells, lambda thing: {"weight": WEIGHTS[thing["size"]]})
SPANS = Reader(
    "finder",
    lambda thing: {name: question(thing)[name] for name in ("question", "context")},
    lambda thing: {"answer": question(thing)["answer"]},
)


def make(folder: Path) -> None:
    """Add the base, the rows and the sections to the project in `folder`; its classes are served by vLLM."""
    base = encoders.make_base(folder / "tiny-encoder")
    (base / "source.json").unlink()
    things = tiny.things(0, 128)
    write_jsonl(folder / "data/weights/rows.jsonl", [cells(row) | NUMBERS.right(row) for row in things])
    asked = [{"id": row["id"], **{name: question(row)[name] for name in COLUMNS}} for row in tiny.things(0, 240)]
    write_jsonl(folder / "data/seed/questions/rows.jsonl", asked)
    rule = {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "context"}}
    for suite in ("raw", "prepared"):
        write_json(folder / f"data/expectations/questions/{suite}.json", {"expectations": [rule]})
    text = {"user": "{{ size }} {{ thing }}", **SPLIT}
    project.change(
        folder,
        bases__encoder={**tiny.base_row(base), "folder": "tiny-encoder"},
        # A correction has no reply to fill in.
        datasets__toys__ingest__columns=["thing", "size", *encoders.LABELS],
        datasets__toys__prepare={"shape": "labelled", "labels": encoders.LABELS, **text},
        datasets__weights={
            "ingest": {"source": "data/weights", "columns": ["thing", "size", "weight"]},
            "validate": {},
            "prepare": {"shape": "scored", "numbers": ["weight"], **text},
        },
        datasets__questions={
            "ingest": {"source": "data/seed/questions", "columns": COLUMNS},
            "validate": {},
            "prepare": {"shape": "spans", "answer": "answer", **SPLIT},
        },
        deploy__serve="pooling",
        gateway__requests_per_minute=100_000,  # each text counts
    )
    like = json.loads((folder / "params.yaml").read_text())["models"]["things"] | {"parent": "encoder"}
    labels = {"labels": encoders.LABELS, "texts": []}
    models = {
        CLASSES.model: _model(like, "toys", "classify", 4, labels, like["gate"]),
        NUMBERS.model: _model(like, "weights", "regress", 6, {"numbers": ["weight"]}, {}),
        SPANS.model: _model(like, "questions", "extract", 6, {}, {}),
    }
    project.change(folder, **{f"models__{name}": model for name, model in models.items()})


def _model(like: dict, dataset: str, objective: str, epochs: int, measured: dict, gate: dict) -> dict:
    train = {
        "objective": {"kind": objective},
        "tuner": {"kind": "full"},
        "learning_rate": 3.0e-3,
        "num_train_epochs": epochs,
        "max_length": 64,
        "bf16": False,
    }
    evaluate = {**measured, "bootstrap_resamples": 100}
    return {**like, "dataset": dataset, "train": train, "evaluate": evaluate, "gate": gate}


def evaluated(folder: Path, reader: Reader = CLASSES) -> list[dict]:
    """What evaluation asked the first version, and was told."""
    return read_jsonl(folder / f"reports/{reader.model}/predict/predictions.jsonl")


def engine(folder: Path) -> str:
    """What serves the champion that tells classes."""
    url = targets(folder)["champion"]["url"]
    states = [json.loads(file.read_text()) for file in (folder / ".anneal/serving").glob("?.json")]
    return str(next(state["engine"] for state in states if f":{state['port']}/" in url))
