"""One decision at a time, each written down; a yes harvests, runs the pipeline and is closed with what came of it,
also when it is killed.
"""

import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from flows import pipeline, retrain
from tasks.errors import AnnealError, NotPromoted
from tasks.files import read_jsonl, write_jsonl, write_text
from tasks.records import database
from tasks.records.database import RetrainingState
from tasks.retrain.facts import RetrainOutcome
from tasks.stages.ingest import Ingest
from tasks.stages.ingest.__main__ import ingest as ingest_data
from tests.flows.project import ROOT
from tests.flows.retraining import PARAMS, command, decide, finish, label, rows, serve


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project that serves version 1 of `sort`, and whose pipeline makes version 2 at once."""
    monkeypatch.chdir(tmp_path)
    write_text(Path("params.yaml"), PARAMS % ("a" * 64))
    write_jsonl(
        Path("data/seed/tickets/first.jsonl"),
        [
            {"text": f"the {word} of {i} is late", "kind": kind}
            for i, (word, kind) in enumerate([("lamp", "a"), ("bill", "b")])
        ],
    )
    serve("1")
    monkeypatch.setattr(pipeline, "run", lambda model: finish("2", ["champion"]))
    monkeypatch.setattr(retrain, "PATIENCE", 0.1)
    return tmp_path


def test_a_no_is_written_down_with_its_reasons(home):
    assert decide() == {"sort": "no retraining"}
    (row,) = rows("decisions")
    assert (row["kind"], row["verdict"]) == ("retrain", "no")
    assert "✗ 0 new labelled rows, 2 would start one" in row["reasons"] and row["facts"]["champion"] == "1"
    assert rows("retrainings") == []


def test_a_yes_harvests_runs_the_pipeline_and_is_closed_with_what_came_of_it(home):
    label(3)
    assert decide(said := []) == {"sort": "promoted: version 2"}
    (row,) = rows("retrainings")
    assert row["outcome"] == "promoted: version 2" and row["ended_at"] >= row["started_at"]
    assert row["reasons"] == ["✓ there are 3 new labelled rows"]
    assert [row["verdict"] for row in rows("decisions")] == ["yes"]
    assert len(read_jsonl(Path("data/seed/tickets/harvested-0001.jsonl"))) == 3
    assert "sort: 3 harvested" in said
    label(2, first=3)
    assert decide() == {"sort": "no retraining"}  # the cool-down
    assert any(
        reason.startswith("✗ held back: the cool-down of 24 hours ends in 24.0 hours")
        for reason in rows("decisions")[-1]["reasons"]
    )


@pytest.mark.parametrize(
    ("version", "aliases", "held_back", "outcome", "state"),
    [
        ("2", ["champion"], False, "promoted: version 2", "promoted"),
        ("2", ["challenger"], False, "canary: version 2", "canary"),
        ("1", ["champion"], False, "nothing new: version 1 stays", "unchanged"),
        ("2", ["challenger"], True, "held back: version 2 was rolled back before", "held back"),
    ],
)
def test_what_came_of_it_is_told_apart(home, monkeypatch, version, aliases, held_back, outcome, state):
    label(2)
    monkeypatch.setattr(pipeline, "run", lambda model: finish(version, aliases, held_back))
    assert decide() == {"sort": outcome}
    assert [(row["state"], row["outcome"]) for row in rows("retrainings")] == [(state, outcome)]


def test_a_refusal_of_the_gate_is_an_outcome_and_a_failure_an_error(home, monkeypatch):
    def refuse(model: str) -> None:
        raise NotPromoted("sort", ("worse than the champion",))

    def fail(model: str) -> None:
        raise AnnealError("ingest@tickets: line 3 is broken.")

    label(2)
    monkeypatch.setattr(pipeline, "run", refuse)
    assert decide() == {"sort": "refused by the gate: worse than the champion."}
    monkeypatch.setattr(pipeline, "run", fail)
    command("retrain")
    with pytest.raises(AnnealError, match="line 3 is broken"):
        decide()
    assert [(row["state"], row["outcome"]) for row in rows("retrainings")] == [
        ("refused", "refused by the gate: worse than the champion."),
        ("failed", "failed: ingest@tickets: line 3 is broken."),
    ]


def test_a_refusal_ends_the_command_with_an_error_whatever_its_sentence_begins_with(home, monkeypatch):
    outcomes = {
        "sort": RetrainOutcome(RetrainingState.REFUSED, "the gate said no."),
        "b": RetrainOutcome(None, "refused nothing"),
    }
    monkeypatch.setattr(retrain, "retrain_flow", lambda: lambda task: outcomes)
    for step in (
        (retrain.tracking, "check"),
        (retrain.prefect_server, "choose"),
        (retrain.prefect_server, "silence_tracebacks"),
    ):
        monkeypatch.setattr(*step, lambda *given: None)
    with pytest.raises(AnnealError, match=r"^sort: the gate said no\.$"):
        retrain.run()


def test_a_command_is_carried_out_once_and_answered(home):
    command("retrain")
    assert decide() == {"sort": "promoted: version 2"}
    assert rows("commands")[0]["result"] == "started" and rows("commands")[0]["done_at"]
    assert decide() == {"sort": "no retraining"}
    assert rows("retrainings")[0]["reasons"] == ["✓ requested manually (key admin)"]


def test_a_pause_holds_until_it_is_resumed_also_what_is_asked_by_hand(home):
    command("pause")
    label(2)
    decide()
    command("retrain")
    assert decide() == {"sort": "no retraining"}
    assert [row["result"] for row in rows("commands")] == [
        "paused",
        "✓ requested manually (key admin); ✓ there are 2 new labelled rows; ✗ held back: retraining is paused",
    ]
    command("resume")
    assert decide() == {"sort": "promoted: version 2"}


def test_an_open_canary_holds_back(home):
    label(2)
    serve("1", canary="share")
    assert decide() == {"sort": "no retraining"}
    assert "✗ held back: a canary is open (share)" in rows("decisions")[0]["reasons"]


def test_an_alarm_about_another_version_is_no_alarm(home):
    engine = database.connect()
    with engine.begin() as connection:
        known = {
            "at": 1.0,
            "task": "sort",
            "requests": 9,
            "alarm": True,
            "reasons": ["new words"],
            "evidence": {},
            "figures": {"kind_accuracy": 0.5, "kind_accuracy_n": 40, "valid": 0.9},
        }
        connection.execute(database.checks.insert().values(version="7", **known))
    decide()
    assert "✗ the monitor has raised no alarm about version 1" in rows("decisions")[-1]["reasons"]
    with engine.begin() as connection:
        connection.execute(database.checks.insert().values(version="1", **known))
    decide()
    assert any(
        "alarm about version 1 (new words); it waits for labels" in reason
        for reason in rows("decisions")[-1]["reasons"]
    )
    assert rows("decisions")[-1]["facts"]["figures"] == {
        "kind_accuracy": {"value": 0.5, "n": 40},
        "valid": {"value": 0.9, "n": 9},
    }
    engine.dispose()


def test_another_version_of_the_data_starts_one_and_the_one_that_was_ingested_does_not(home):
    ingest_data(Ingest(source="data/seed/tickets", columns=["text", "kind"]), Path("data/raw/tickets"))
    assert decide() == {"sort": "no retraining"}
    write_jsonl(Path("data/seed/tickets/more.jsonl"), [{"text": "where is my chair", "kind": "a"}])
    assert decide() == {"sort": "promoted: version 2"}
    assert rows("retrainings")[0]["reasons"][0].startswith("✓ the data is a new version (")
    assert decide() == {"sort": "no retraining"}


RETRAINING = """
    import sys, time
    from flows import pipeline, retrain
    def wait(model):
        print("training", flush=True)
        time.sleep(60)
    pipeline.run = wait
    retrain.decide(None, lambda words: None, lambda engine, task: None)
"""


@pytest.mark.slow
def test_there_are_never_two_at_once_and_a_killed_one_is_closed_and_counts(home):
    label(2)
    program = [sys.executable, "-c", textwrap.dedent(RETRAINING)]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True, env={"PYTHONPATH": str(ROOT)}) as first:
        try:
            assert first.stdout.readline() == "training\n"
            label(2, first=2)
            command("retrain")
            assert decide() == {"sort": "no retraining"}
            assert "✗ held back: one is already running" in rows("decisions")[-1]["reasons"]
            assert rows("retrainings")[0]["ended_at"] is None
        finally:
            first.kill()
    said = []
    assert decide(said) == {"sort": "no retraining"}
    assert "1 retraining(s) had been killed" in said
    (row,) = rows("retrainings")
    assert (row["state"], row["outcome"]) == ("killed", "killed: its process was gone")
    assert row["started_at"] <= row["ended_at"] <= time.time()
    assert any("the cool-down of 24 hours" in reason for reason in rows("decisions")[-1]["reasons"])
