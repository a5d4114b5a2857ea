"""The suites that ship set aside what breaks them, row by row, and agree with each other."""

import hashlib
import json
from collections import Counter
from pathlib import Path

import pytest

from tasks.files import read_json, read_jsonl, write_jsonl
from tasks.params import Params, load
from tasks.stages.prepare import shapes
from tasks.stages.prepare.__main__ import prepare
from tasks.stages.prepare.shapes.table import format_row
from tasks.stages.prepare.split_or_drop import assign
from tasks.stages.validate import validate
from tasks.texts.clean import clean
from tests.house.project import ROOT


@pytest.fixture(scope="module")
def params() -> Params:
    return load(ROOT / "params.yaml")


def tickets() -> list[dict]:
    return [
        json.loads(line)
        for line in (ROOT / "data/seed/support_tickets/tickets.jsonl").read_text(encoding="utf-8").splitlines()
    ]


def run(folder: Path, params: Params, rows: list[dict], name: str = "support_tickets") -> dict[str, object]:
    """The report of prepare, after validate, on `rows`."""
    dataset, suites = params.datasets[name], ROOT / "data/expectations" / name
    write_jsonl(folder / "raw/rows.jsonl", rows)
    validate(
        dataset.validate_,
        folder / "raw",
        suites / "raw.json",
        folder / "validated",
        folder / "docs/raw",
        folder / "validate.json",
    )
    prepare(
        dataset.prepare,
        folder / "validated",
        suites / "prepared.json",
        folder / "prepared",
        folder / "docs/prepared",
        folder / "prepare.json",
    )
    return read_json(folder / "prepare.json")


def test_one_label_in_capitals_costs_one_row_and_the_longest_texts_that_are_allowed_none(tmp_path, params):
    rows = tickets()
    capital, blank, longest = rows[5], rows[6], rows[7]
    capital["category"] = capital["category"].upper()
    blank["body"] = " " * 8
    longest |= {"subject": "The lamp " * 22 + "x" * 2, "body": "Lamps of " * 444 + "four"}
    assert (len(longest["subject"]), len(longest["body"])) == (200, 4000)
    report = run(tmp_path, params, rows)
    assert [(row["id"], row["reasons"]) for row in read_jsonl(tmp_path / "validated/quarantine.jsonl")] == [
        (
            capital["id"],
            ["expect_column_values_to_be_in_set(category)", "expect_column_pair_values_to_be_in_set(category, intent)"],
        ),
        (blank["id"], ["expect_column_value_lengths_to_be_between(body)"]),
    ]
    assert (report["rows"], report["dropped"], sum(report[name] for name in ("train", "validation", "test"))) == (
        1246,
        0,
        1246,
    )


def test_the_split_of_the_shipped_tickets_is_the_one_that_all_figures_are_measured_on(params):
    section = params.datasets["support_tickets"].prepare
    rows = [format_row({name: clean(text) for name, text in row.items()}, section) for row in tickets()]
    assignment = assign(rows, section)
    assert assignment.dropped == ()
    assert Counter(placed.split for placed in assignment.kept) == {"train": 953, "validation": 90, "test": 205}
    held_out = [placed.row["id"] for placed in assignment.kept if placed.split == "test"]
    first = [number for number in held_out if number <= "FT-0768"]  # those of the first 768 tickets, as they were
    assert (len(first), _hash(first)) == (130, "d909364ec15a")
    assert (len(held_out), _hash(held_out)) == (205, "240c01076277")


def test_the_labels_of_the_shipped_tickets_are_dealt_as_the_tickets_are(params):
    """Nothing may be tested on that the classifier which tells its labels has learnt."""
    splits = {}
    for name in ("support_tickets", "ticket_labels"):
        section = params.datasets[name].prepare
        rows = [shapes.of(section).example(row, section) for row in tickets()]
        splits[name] = {placed.row["id"]: placed.split for placed in assign(rows, section).kept}
    assert splits["support_tickets"] == splits["ticket_labels"]


def test_the_suites_of_the_labels_set_no_ticket_aside(tmp_path, params):
    report = run(tmp_path, params, tickets(), "ticket_labels")
    assert read_jsonl(tmp_path / "validated/quarantine.jsonl") == [] and report["dropped"] == 0


def _hash(ids):
    return hashlib.sha256("\n".join(ids).encode()).hexdigest()[:12]
