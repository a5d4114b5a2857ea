"""What people correct of a cascade goes into the source that both of its models learn from."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from tasks.files import read_jsonl, write_jsonl
from tasks.params import Params
from tasks.records import database
from tasks.retrain.harvest import Harvest, harvest
from tasks.stages.cascade import Cascade
from tasks.stages.evaluate.params import Evaluate
from tasks.stages.prepare.shapes.labelled import Params as Labelled
from tests.tasks.corrections import NOW, USER, ask, corrected, params, ticket

SOURCE = Path("data/seed/tickets")


def cascade() -> Params:
    """Triage of tickets, whose category `teller` tells."""
    plain = params()
    tickets, triage = plain.datasets["tickets"], plain.models["triage"]
    prepare = Labelled(shape="labelled", user=USER, labels=["category"])
    teller = {"dataset": "labels", "evaluate": Evaluate(labels=["category"])}
    return plain.model_copy(
        update={
            "datasets": {"tickets": tickets, "labels": tickets.model_copy(update={"prepare": prepare})},
            "cascades": {"told": Cascade(dataset="tickets", model="teller", trained_on="labels")},
            "models": {
                "teller": triage.model_copy(update=teller),
                "triage": triage.model_copy(update={"dataset": "told"}),
            },
        }
    )


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """The records of a project with eight tickets."""
    monkeypatch.chdir(tmp_path)
    write_jsonl(SOURCE / "tickets.jsonl", [{"id": f"T-{i}", **ticket(i)} for i in range(8)])
    made = database.connect()
    yield made
    made.dispose()


def test_a_corrected_answer_is_a_new_row_of_the_source_of_both(engine: Engine) -> None:
    corrected(engine, "r1", 100)
    assert harvest(engine, cascade(), "triage", NOW + 10) == Harvest(f"{SOURCE}/harvested-0001.jsonl", taken=1)
    assert read_jsonl(SOURCE / "harvested-0001.jsonl") == [{"id": "feedback-r1", **ticket(100)}]
    assert {dataset.ingest.source for dataset in cascade().datasets.values()} == {SOURCE.as_posix()}


def test_labels_corrected_without_a_reply_are_set_aside_and_never_a_row_that_lacks_one(engine: Engine) -> None:
    row = ticket(100)
    ask(engine, "r1", {name: row[name] for name in ("subject", "body")}, {"category": "billing"}, task="teller")
    assert harvest(engine, cascade(), "teller", NOW + 10).taken == 0
    assert [file.name for file in SOURCE.iterdir()] == ["tickets.jsonl"]
