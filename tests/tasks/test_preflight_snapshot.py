"""A source that is not a file here is fetched, or refused, before any other work."""

import sqlite3
from pathlib import Path

import pytest

from tasks.errors import ParamsError
from tasks.files import write_json
from tasks.preflight import checks
from tests.tasks.own_params import ROWS, VALUE, refusal, write_rows

KEY = "datasets.tickets.ingest.source"
SNAPSHOT = {"kind": "sql", "url": "sqlite:///tickets.db", "query": "select * from tickets"}


@pytest.fixture(autouse=True)
def _data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_rows(ROWS)


def database() -> None:
    connection = sqlite3.connect("tickets.db")
    connection.execute(f"create table tickets ({', '.join(ROWS[0])})")
    connection.executemany(
        f"insert into tickets values ({', '.join('?' for _ in ROWS[0])})", map(tuple, map(dict.values, ROWS))
    )
    connection.commit()
    connection.close()


def write_params(**snapshot: object) -> None:
    row = VALUE["datasets"]["tickets"] | {
        "snapshot": SNAPSHOT | snapshot,
        "ingest": {"source": "data/snapshots/tickets"},
    }
    write_json(Path("params.yaml"), VALUE | {"datasets": {"tickets": row}})


def test_a_snapshot_is_taken_before_labels_and_suites_are_looked_for() -> None:
    database()
    write_params()
    lines: list[str] = []
    params = checks.ready("mine", lines.append)
    assert lines[0] == "snapshot of tickets: rows that are new, in data/snapshots/tickets"
    assert params.models["mine"].evaluate is not None
    assert Path("data/expectations/tickets/raw.json").exists()
    assert len(Path("data/snapshots/tickets/rows.jsonl").read_text().splitlines()) == len(ROWS)


@pytest.mark.parametrize(
    ("snapshot", "words"),
    [
        ({}, "datasets.tickets.snapshot: the SQLite database tickets.db does not exist: correct the path."),
        ({"query": "drop table x"}, "datasets.tickets.snapshot: query is 'drop table x', and should be one select"),
        ({"kind": "sqll"}, "datasets.tickets.snapshot.kind is 'sqll'; did you mean `sql`?"),
        ({"querry": "x"}, "datasets.tickets.snapshot.querry is not a known key; did you mean `query`?"),
        ({"url": ""}, "datasets.tickets.snapshot.url is ''; it should have at least 1 character"),
    ],
)
def test_a_snapshot_that_cannot_be_taken_is_refused(snapshot: dict, words: str) -> None:
    write_params(**snapshot)
    before = Path("params.yaml").read_text()
    for check in (lambda: checks.ready("mine", print), checks.check_file):
        with pytest.raises(ParamsError) as error:
            check()
        assert str(error.value).startswith(f"params.yaml: {words}") or "no snapshot has been taken yet" in str(
            error.value
        )
    with pytest.raises(ParamsError, match="^params.yaml: "):
        checks.ready("mine", print)
    assert Path("params.yaml").read_text() == before and not Path("data/snapshots").exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"datasets__tickets__ingest__source": "https://example.org/rows.csv"},
            f"{KEY} is a URL (https://…), and DVC watches files: write data/snapshots/tickets there, and under "
            "datasets.tickets `snapshot: {kind: url, url: …}`, or kind sql or hub (see README).",
        ),
        (
            {"datasets__tickets__snapshot": SNAPSHOT},
            f"{KEY} is 'mine.csv', but the snapshot of tickets is in data/snapshots/tickets: write that.",
        ),
        (
            {
                "datasets__tickets__snapshot": SNAPSHOT,
                "datasets__tickets__ingest__source": "data/snapshots/tickets",
            },
            f"{KEY} is 'data/snapshots/tickets', of which no snapshot has been taken yet: run `make snapshot`.",
        ),
    ],
)
def test_a_source_that_no_snapshot_fills_is_refused(changes: dict, words: str) -> None:
    assert refusal(**changes) == words
