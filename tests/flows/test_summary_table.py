"""The table that ends a run says what was measured, with the confidence that was set."""

import pytest
from rich.console import Console

from flows.summary_table import _figures, head, show


def test_the_interval_is_that_of_the_confidence_that_was_set() -> None:
    evaluation = {
        "rows": 12,
        "parent": {"valid": 0.5},
        "tuned": {"valid": 0.75, "kind_log_loss": 0.4},
        "intervals": {
            "confidence": 0.8,
            "tuned": {"valid": [0.6, 0.9], "kind_log_loss": [0.3, 0.5]},
            "parent": {"valid": [0.4, 0.6]},
        },
        "seconds_per_answer": {"parent": 1.0, "tuned": 2.0},
    }
    console = Console(record=True, width=120)
    console.print(_figures(evaluation))
    text = console.export_text()
    assert "80 % interval" in text and "95 %" not in text and "0.600 to 0.900" in text and "12 held-out rows" in text
    log_loss = next(line for line in text.splitlines() if "kind_log_loss" in line)
    assert log_loss.split("│")[2].strip() == "–" and "0.300 to 0.500" in log_loss  # a parent without probabilities


SUMMARY = {
    "model": "triage",
    "registry": {"name": "triage", "version": "3", "aliases": ["champion"]},
    "evaluation": {"rows": 130, "tuned": {"intent_accuracy": 0.846, "intent_mcc": 0.8, "valid": 1.0}},
    "gate": {"passed": True, "held_back": False, "checks": []},
    "release": [],
    "endpoint": {
        "url": "http://127.0.0.1:8000/v1",
        "model": "triage@3",
        "version": "3",
        "parity": None,
        "curl": "curl -s x",
    },
    "where": {"report": "reports/triage/index.html"},
}


def test_the_last_screen_leads_with_what_a_person_wants() -> None:
    assert list(head({**SUMMARY, "worth": {"sentence": "Tuning was worth it."}})) == [
        "",
        "triage version 3: passed the gate and is the champion: it answers",
        "  good?      intent 84.6 %, valid answers 100.0 %, on 130 held-out rows",
        "  worth it?  Tuning was worth it.",
        "  served at  http://127.0.0.1:8000/v1  as triage@3",
        "  try it     curl -s x",
        "  page       reports/triage/index.html",
    ]


def test_measures_have_their_names_as_people_write_them() -> None:
    tuned = {"stars_rmse": 0.456, "people_entity_f1": 0.9, "json_kind_accuracy": 0.5}
    shown = list(head({**SUMMARY, "evaluation": {"rows": 9, "tuned": tuned}}))[2]
    assert shown == "  good?      stars RMSE 0.456, people entity F1 90.0 %, JSON kind 50.0 %, on 9 held-out rows"


def test_what_is_not_served_does_not_look_as_if_it_was() -> None:
    refused = {**SUMMARY, "gate": {"passed": False, "held_back": False, "checks": []}, "endpoint": None}
    assert list(head(refused))[1] == "triage version 3: not promoted, as the gate refused it"
    assert not any("served at" in line for line in head(refused))
    held = {**SUMMARY, "gate": {"passed": True, "held_back": True, "checks": []}}
    assert "held back" in list(head(held))[1]
    waits = {**SUMMARY, "registry": {"name": "triage", "version": "3", "aliases": ["challenger"]}}
    assert list(head(waits))[1].endswith("passed the gate and waits for its canary")
    trial = {**waits, "is_on_trial": True}
    assert "its canary is open" in list(head(trial))[1] and "the champion" not in list(head(trial))[1]


def test_a_run_that_ended_early_is_not_said_to_be_done(capsys: pytest.CaptureFixture[str]) -> None:
    show("triage", [{"name": "ingest@tickets", "state": "cached", "seconds": 0.1}], None)
    assert capsys.readouterr().out == "stages and steps: 1 came to an end, 1 of them in an earlier run\n"
