"""A source that is no file here, from params.yaml to DVC: the real flows and the real DVC on a small project."""

import json
import shutil
import sqlite3
import subprocess
from pathlib import Path

import pytest

from tasks.files import read_jsonl, write_json
from tests.flows import project

pytestmark = pytest.mark.slow  # each test starts servers or processes

QUERY = "select text, kind from tickets"


@pytest.fixture
def small(tmp_path: Path, warmed: None) -> Path:
    """A folder with the real dvc.yaml and a database, in which `ingest` and `validate` will run."""
    for name in ("tasks", "flows"):
        shutil.copytree(project.ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("dvc.yaml", ".dvcignore", ".gitignore"):
        shutil.copy(project.ROOT / name, tmp_path / name)
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    project.run(tmp_path, "dvc", "init", "-q")
    rule = {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "text"}}
    write_json(tmp_path / "data/expectations/tickets/raw.json", {"expectations": [rule]})
    params(tmp_path, {"kind": "sql", "url": "sqlite:///tickets.db", "query": QUERY})
    change(
        tmp_path, "create table tickets (text, kind)", *(f"insert into tickets values ('t {n}', 'a')" for n in "123")
    )
    return tmp_path


def params(folder: Path, snapshot: dict) -> None:
    ingest = {"source": "data/snapshots/tickets"}
    prepare = {"shape": "table", "user": "{{ text }}", "answer": "{{ kind }}"}
    row = {"snapshot": snapshot, "ingest": ingest, "validate": {}, "prepare": prepare}
    write_json(folder / "params.yaml", {"bases": {}, "models": {}, "datasets": {"tickets": row}})


def change(folder: Path, *statements: str) -> None:
    connection = sqlite3.connect(folder / "tickets.db")
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


def texts(folder: Path) -> list[str]:
    return [row["text"] for row in read_jsonl(folder / "data/raw/tickets/rows.jsonl")]


def test_only_rows_that_are_new_make_work_downstream(small: Path) -> None:
    said = project.run(small, "flows.snapshot")
    assert "snapshot of tickets: rows that are new, in data/snapshots/tickets" in said
    assert "Running stage 'ingest@tickets'" in project.run(small, "dvc", "repro", "validate@tickets")
    assert texts(small) == ["t 1", "t 2", "t 3"]
    assert "snapshot of tickets: unchanged" in project.run(small, "flows.snapshot", "tickets")
    assert "Running stage" not in project.run(small, "dvc", "repro", "validate@tickets")
    (small / "data/snapshots/tickets.json").unlink()  # as for a person who has only what DVC keeps
    project.run(small, "flows.snapshot")
    assert "Running stage" not in project.run(small, "dvc", "repro", "validate@tickets")
    change(small, "insert into tickets values ('t 4', 'b')")
    project.run(small, "flows.snapshot")
    assert "Running stage 'validate@tickets'" in project.run(small, "dvc", "repro", "validate@tickets")
    assert texts(small) == ["t 1", "t 2", "t 3", "t 4"]


def test_what_dvc_keeps_comes_back_without_the_source(small: Path) -> None:
    project.run(small, "flows.snapshot")
    status = subprocess.run(
        ["git", "status", "--short", "-uall"], cwd=small, capture_output=True, text=True, check=True
    )
    tracked = status.stdout.split()
    assert "data/snapshots/tickets.dvc" in tracked and "data/snapshots/tickets.json" in tracked
    assert "data/snapshots/tickets/rows.jsonl" not in tracked
    shutil.rmtree(small / "data/snapshots/tickets")
    (small / "tickets.db").unlink()
    project.run(small, "dvc", "checkout", "data/snapshots/tickets.dvc")
    project.run(small, "dvc", "repro", "ingest@tickets")
    assert texts(small) == ["t 1", "t 2", "t 3"]


def test_what_is_wrong_is_said_before_any_work(small: Path) -> None:
    assert "of which no snapshot has been taken yet: run `make snapshot`" in project.run(
        small, "tasks.preflight", status=2
    )
    params(small, {"kind": "sql", "url": "sqlite:///tickets.db", "query": "select * from tikets"})
    said = project.run(small, "flows.snapshot", status=2)
    words = "the database at sqlite:///tickets.db says: no such table: tikets."
    assert said.strip() == f"error: params.yaml: datasets.tickets.snapshot: {words}"
    assert "has no dataset of that name with a snapshot" in project.run(small, "flows.snapshot", "x", status=2)
    params(small, {"kind": "sequel", "url": "sqlite:///tickets.db", "query": QUERY})
    assert "datasets.tickets.snapshot.kind is 'sequel'" in project.run(small, "flows.snapshot", status=2)
    assert not (small / "data/snapshots").exists()
    assert json.loads((small / "params.yaml").read_text())["datasets"]["tickets"]["snapshot"]["kind"] == "sequel"
