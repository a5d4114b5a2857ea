"""The dashboard's curves say what the log of requests holds, and are the same on SQLite and on PostgreSQL."""

import json
import random
import statistics
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, create_engine, literal, select
from sqlalchemy.dialects import postgresql

from tasks import database
from tasks.serve.dashboard import curves
from tests.tasks import dashboard_seed as seed

NOW = time.time()
NONE = create_engine("sqlite://")


@pytest.fixture
def empty(tmp_path: Path) -> Engine:
    """Records without a row."""
    return database.connect(f"sqlite:///{tmp_path}/records.db")


def put(engine: Engine, table: object, *rows: dict) -> None:
    with engine.begin() as connection:
        for row in rows:
            connection.execute(table.insert(), row)


def request(number: int, **fields: object) -> dict:
    return {"id": f"r{number}", "at": NOW - 100, "task": "triage", "version": "1", "role": "champion", "status": 200, **fields}


def traffic_of(engine: Engine, bucket: int = 60) -> list[dict]:
    with engine.connect() as connection:
        return [point for versions in curves.traffic(connection, 0, bucket).values() for points in versions.values() for point in points]


def agreement_of(engine: Engine, labels: list[str]) -> tuple[int, int]:
    with engine.connect() as connection:
        points = [point for versions in curves.agreement(connection, 0, 60, {"triage": labels}).values() for points in versions.values() for point in points]
    return sum(point["agreed"] for point in points), sum(point["judged"] for point in points)


def test_curves_count_what_the_log_holds(empty: Engine) -> None:
    seed.fill(empty, NOW, 1000)
    with empty.connect() as connection:
        rows = connection.execute(select(database.requests)).all()
        found = curves.traffic(connection, 0, 3600)
    for task, version in {(row.task, row.version) for row in rows}:
        mine = [row for row in rows if (row.task, row.version) == (task, version)]
        total = curves.totals(found[task][version])
        assert total["requests"] == len(mine) == sum(point["requests"] for point in found[task][version])
        assert total["failed"] == sum(row.status >= 500 for row in mine)
        assert (total["asked"], total["valid"]) == (sum(row.valid is not None for row in mine), sum(row.valid is True for row in mine))


def test_failed_is_a_server_error_or_a_broken_stream_and_not_a_wrong_request(empty: Engine) -> None:
    put(
        empty,
        database.requests,
        *[request(i, status=status, error=error) for i, (status, error) in enumerate([(200, None), (200, "cut"), (503, "backend"), (400, "bad"), (429, "busy")])],
    )
    [point] = traffic_of(empty, 100_000)
    assert (point["requests"], point["failed"], point["busy"]) == (5, 2, 1)


def test_copies_are_told_apart_from_requests(empty: Engine) -> None:
    put(empty, database.requests, request(1), request(2, version="2", role="shadow", shadow_of="r1"))
    assert sorted((point["requests"], point["copies"]) for point in traffic_of(empty)) == [(1, 0), (1, 1)]


@given(st.floats(min_value=0, max_value=99, allow_nan=False))
def test_a_latency_falls_into_the_bin_whose_edges_hold_it(seconds: float) -> None:
    with NONE.connect() as connection:
        number = connection.execute(select(curves.latency_bin(literal(seconds)))).scalar_one()
    low, high = curves.bin_edges(number)
    assert low - 0.0011 <= seconds <= high + 0.0011  # SQLite cuts to whole milliseconds, PostgreSQL rounds


def test_quantiles_from_bins_are_those_of_the_requests(empty: Engine) -> None:
    draw = random.Random(1)
    latencies = [draw.lognormvariate(-0.7, 0.5) for _ in range(2000)]
    put(empty, database.requests, *[request(i, latency=latency) for i, latency in enumerate(latencies)])
    total = curves.totals(traffic_of(empty))
    exact = statistics.quantiles(latencies, n=20)
    assert total["p50"] == pytest.approx(exact[9], rel=0.05)
    assert total["p95"] == pytest.approx(exact[18], rel=0.05)
    assert curves.quantile({}, 0.5) is None


def test_the_newest_word_on_a_request_counts(empty: Engine) -> None:
    put(empty, database.requests, request(1, output=json.dumps(seed.ANSWER)), request(2, output=json.dumps(seed.ANSWER)))
    words = [("r1", 1, None), ("r1", -1, None), ("r2", None, {**seed.ANSWER, "category": "billing"}), ("r2", None, seed.ANSWER), ("unknown", 1, None)]
    put(empty, database.feedback, *[{"at": NOW, "request_id": of, "thumb": thumb, "correction": correction} for of, thumb, correction in words])
    assert agreement_of(empty, []) == (1, 2)


@pytest.mark.parametrize(
    ("output", "correction", "labels", "agreed"),
    [
        ('{"category": "a", "reply": "x"}', {"category": "a", "reply": "y"}, ["category"], True),
        ('{"category": "a", "reply": "x"}', {"category": "a", "reply": "y"}, [], False),
        ('{"category": "a"}', {"category": "b"}, ["category"], False),
        ('{"reply": "x"}', {"reply": "x"}, ["category"], True),
        ("not json", {"category": "a"}, ["category"], False),
        ("a text", {"text": "a text "}, [], True),
        (None, {"category": "a"}, [], False),
        ("[1]", {"category": "a"}, [], False),
    ],
)
def test_a_correction_agrees_when_it_says_the_same(output: str | None, correction: dict, labels: list[str], agreed: bool) -> None:
    assert curves.agrees(output, correction, labels) is agreed


def test_an_alarm_of_any_check_in_a_bucket_is_shown(empty: Engine) -> None:
    shared = {"task": "triage", "requests": 1, "reasons": [], "figures": {"threshold": 4.0}}
    put(
        empty,
        database.checks,
        *[{**shared, "at": 1000 + at, "alarm": alarm, "evidence": {"text": wealth}} for at, alarm, wealth in [(0, False, 1.0), (10, True, 5.0), (20, False, float("nan"))]],
    )
    with empty.connect() as connection:
        [point] = curves.evidence(connection, "triage", 0, 900)
    assert point == {"at": 1020, "version": None, "evidence": {}, "threshold": 4.0, "alarm": True}


def test_the_queries_are_postgresql_too() -> None:
    words = str(select(curves.latency_bin(database.requests.c.latency), curves._bucket(database.requests.c.at, 60)).compile(dialect=postgresql.dialect()))
    assert "FLOOR" not in words and "AS BIGINT) / " in words  # integers divided by integers: the same in both
