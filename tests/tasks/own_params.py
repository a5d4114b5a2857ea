"""A small params.yaml over a CSV file, changed key by key, and what the checks say of it."""

import copy
import csv
from pathlib import Path

import pytest

from tasks.errors import ParamsError
from tasks.params import Params, check_rows
from tasks.preflight import checks
from tasks.section import parse

ROWS = [
    {"Ticket Text": f"Where is parcel {i}?", "body": f"text {i}", "reply": "soon", "category": "shipping"}
    for i in range(4)
]
VALUE = {
    "bases": {"tiny": {"folder": "tiny", "sha256": "0" * 64, "license": "mit"}},
    "datasets": {
        "tickets": {
            "ingest": {"source": "mine.csv"},
            "validate": {},
            "prepare": {"shape": "table", "user": "{{ body }}", "answer": ["category", "reply"]},
        }
    },
    "models": {
        "mine": {
            "parent": "tiny",
            "dataset": "tickets",
            "train": {"objective": {"kind": "sft"}, "tuner": {"kind": "lora"}},
            "predict": {},
            "evaluate": {},
            "package": {},
            "gate": {},
        }
    },
}
PREPARE, MODEL = "datasets__tickets__prepare", "models__mine"  # as changed() names them


def write_rows(rows: list[dict[str, str]]) -> None:
    """Put `rows` into mine.csv, here."""
    with Path("mine.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)


def changed(**changes: object) -> Params:
    """The small project's params with values set by dotted key (`__` for the dots)."""
    value = copy.deepcopy(VALUE)
    for key, new in changes.items():
        place = value
        *way, last = key.split("__")
        for part in way:
            place = place.setdefault(part, {})
        place[last] = new
    params = parse(Params, value, "")
    check_rows(params)
    return params


def refusal(**changes: object) -> str:
    with pytest.raises(ParamsError) as stopped:
        checks.check(changed(**changes), ["mine"])
    assert stopped.value.exit_status == 2 and len(str(stopped.value).splitlines()) == 1
    return str(stopped.value).removeprefix("params.yaml: ")
