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

from tasks.formats.answer import format_of
from tasks.formats.contract import Contract
from tasks.records import database
from tasks.serve.dashboard import bins, curves, data, history
from tasks.serve.reconcile import evidence
from tasks.serve.routes import Table, Task
from tests.tasks import dashboard_seed as seed
from tests.tasks.gateway import target, write_folder

NOW = time.time()
NONE = create_engine("sqlite://")
VERSIONS = [("champion", "3", ["category", "reply"]), ("previous", "2", "{{ reply }}")]


@pytest.fixture
def empty(tmp_path: Path) -> Engine:
    """Records without a row."""
    return database.connect(f"sqlite:///{tmp_path}/records.db")


def put(engine: Engine, table: object, *rows: dict) -> None:
    with engine.begin() as connection:
        for row in rows:
            connection.execute(table.insert(), row)


def request(number: int, **fields: object) -> dict:
    return {
        "id": f"r{number}",
        "at": NOW - 100,
        "task": "triage",
        "version": "1",
        "role": "champion",
        "status": 200,
        **fields,
    }


def traffic_of(engine: Engine, bucket: int = 60) -> list[curves.Point]:
    with engine.connect() as connection:
        return [
            point
            for versions in curves.traffic(connection, 0, bucket).values()
            for points in versions.values()
            for point in points
        ]


def agreement_of(engine: Engine, contract: Contract | None) -> tuple[int, int]:
    with engine.connect() as connection:
        points = [
            point
            for versions in curves.agreement(connection, 0, 60, lambda task, version: contract).values()
            for points in versions.values()
            for point in points
        ]
    return sum(point["agreed"] for point in points), sum(point["judged"] for point in points)


def test_curves_count_what_the_log_holds(empty: Engine) -> None:
    seed.fill(empty, NOW, 1000)
    with empty.connect() as connection:
        rows = connection.execute(select(database.requests)).all()
        curve = curves.traffic(connection, 0, 3600)
    for task, version in {(row.task, row.version) for row in rows}:
        mine = [row for row in rows if (row.task, row.version) == (task, version)]
        total = curves.totals(curve[task][version])
        assert total["requests"] == len(mine) == sum(point.counts.requests for point in curve[task][version])
        assert total["failed"] == sum(row.status >= 500 for row in mine)
        assert (total["asked"], total["valid"]) == (
            sum(row.valid is not None for row in mine),
            sum(row.valid is True for row in mine),
        )


def test_failed_is_a_server_error_or_a_broken_stream_and_not_a_wrong_request(empty: Engine) -> None:
    put(
        empty,
        database.requests,
        *[
            request(i, status=status, error=error)
            for i, (status, error) in enumerate(
                [(200, None), (200, "cut"), (503, "backend"), (400, "bad"), (429, "busy")]
            )
        ],
    )
    [point] = traffic_of(empty, 100_000)
    assert (point.counts.requests, point.counts.failed, point.counts.busy) == (5, 2, 1)


def test_copies_are_told_apart_from_requests(empty: Engine) -> None:
    put(empty, database.requests, request(1), request(2, version="2", role="shadow", shadow_of="r1"))
    assert sorted((point.counts.requests, point.counts.copies) for point in traffic_of(empty)) == [(1, 0), (1, 1)]


@given(st.floats(min_value=0, max_value=99, allow_nan=False))
def test_a_latency_falls_into_the_bin_whose_edges_hold_it(seconds: float) -> None:
    with NONE.connect() as connection:
        number = connection.execute(select(bins.latency_bin(literal(seconds)))).scalar_one()
    low, high = bins.bin_edges(number)
    assert low - 0.0011 <= seconds <= high + 0.0011  # SQLite cuts to whole milliseconds, PostgreSQL rounds


def test_quantiles_from_bins_are_those_of_the_requests(empty: Engine) -> None:
    draw = random.Random(1)
    latencies = [draw.lognormvariate(-0.7, 0.5) for _ in range(2000)]
    put(empty, database.requests, *[request(i, latency=latency) for i, latency in enumerate(latencies)])
    total = curves.totals(traffic_of(empty))
    exact = statistics.quantiles(latencies, n=20)
    assert total["p50"] == pytest.approx(exact[9], rel=0.05)
    assert total["p95"] == pytest.approx(exact[18], rel=0.05)
    assert bins.quantile({}, 0.5) is None


RIGHT, WRONG = seed.ANSWER, {**seed.ANSWER, "category": "billing"}


@pytest.mark.parametrize(
    ("judgements", "agreed"),
    [
        ([(-1, None), (1, None)], 1),
        ([(1, None), (-1, None)], 0),
        ([(None, WRONG), (None, RIGHT)], 1),
        ([(None, RIGHT), (None, WRONG)], 0),
        ([(None, WRONG), (1, None)], 0),  # a late thumb takes no correction back
        ([(None, RIGHT), (-1, None)], 1),
        ([(None, WRONG), *[(1, None)] * 50, (None, {})], 0),
        ([(1, WRONG)], 0),  # with a thumb beside it
        ([(None, WRONG), (None, RIGHT), (None, WRONG), (1, None)], 0),
    ],
)
def test_a_correction_counts_and_without_one_the_newest_thumb(empty: Engine, judgements: list, agreed: int) -> None:
    """As corrections.counted says it, which the canary's evidence follows too."""
    put(empty, database.requests, request(1, output=json.dumps(RIGHT)))
    words = [{"at": NOW, "request_id": "r1", "thumb": thumb, "correction": given} for thumb, given in judgements]
    put(empty, database.feedback, *words)
    contract = Contract(None, "{{ body }}", ("body",), format_of(list(RIGHT)), {"category": frozenset({"shipping"})})
    assert agreement_of(empty, contract) == (agreed, 1)
    feedback = evidence._feedback(empty, "triage", 0)["r1"]
    assert evidence.is_wrong(json.dumps(RIGHT), feedback, lambda: contract, ["category"]) is not bool(agreed)


def test_the_newest_word_on_a_request_counts(empty: Engine) -> None:
    put(
        empty, database.requests, request(1, output=json.dumps(seed.ANSWER)), request(2, output=json.dumps(seed.ANSWER))
    )
    words = [
        ("r1", 1, None),
        ("r1", -1, None),
        ("r2", None, {**seed.ANSWER, "category": "billing"}),
        ("r2", None, seed.ANSWER),
        ("unknown", 1, None),
    ]
    put(
        empty,
        database.feedback,
        *[{"at": NOW, "request_id": of, "thumb": thumb, "correction": correction} for of, thumb, correction in words],
    )
    form = format_of(list(seed.ANSWER))
    assert agreement_of(empty, Contract(None, "{{ body }}", ("body",), form)) == (1, 2)
    assert agreement_of(empty, None) == (0, 1), "a thumb counts without a contract, a correction does not"


LABELLED, PLAIN, REPLY = (
    Contract(None, "{{ body }}", ("body",), format_of(answer), classes)
    for answer, classes in (
        (["category", "reply"], {"category": frozenset("ab")}),
        (["category", "reply"], {}),
        ("{{ reply }}", {}),
    )
)


@pytest.mark.parametrize(
    ("output", "correction", "contract", "agreed"),
    [
        ('{"category": "a", "reply": "x"}', {"category": "a ", "reply": "y"}, LABELLED, True),
        ('{"category": "a", "reply": "x"}', {"category": "a", "reply": "y"}, PLAIN, False),
        ('{"category": "a", "reply": "x"}', {"category": "b", "reply": "x"}, LABELLED, False),
        ('{"category": "a"}', {"category": "a", "reply": "x"}, LABELLED, False),
        ('{"category": "b", "category": "a", "reply": "x"}', {"category": "a", "reply": "x"}, LABELLED, False),
        ("not json", {"category": "a", "reply": "x"}, LABELLED, False),
        ("[1]", {"category": "a", "reply": "x"}, LABELLED, False),
        (None, {"category": "a", "reply": "x"}, LABELLED, False),
        ("a text", {"reply": "a text "}, REPLY, True),
        ("a text", {"reply": "another"}, REPLY, False),
        ('{"reply": "a text"}', {"reply": "a text"}, REPLY, False),
        ("a text", {"category": "a"}, REPLY, None),
        ("a text", {"reply": "a text"}, None, None),
    ],
)
def test_a_correction_agrees_when_it_says_the_same(
    output: str | None, correction: dict, contract: Contract | None, agreed: bool | None
) -> None:
    assert curves.agrees(output, correction, contract) is agreed


def test_a_version_is_read_by_its_own_contract_and_an_older_one_by_the_champions(tmp_path: Path) -> None:
    targets = {
        alias: target("http://127.0.0.1:9/v1", write_folder(tmp_path / alias, answer=answer), version)
        for alias, version, answer in VERSIONS
    }
    of = data.contracts_of(
        Table(
            1, {"triage": Task(targets), "gone": Task({"champion": target("http://127.0.0.1:9/v1", tmp_path / "gone")})}
        )
    )
    assert of("triage", "3").form.columns == ("category", "reply") and of("triage", "2").form.columns == ("reply",)
    assert of("triage", "1").form == of("triage", None).form == of("triage", "3").form
    assert of("gone", "1") is None and of("unknown", "1") is None


def test_an_alarm_of_any_check_in_a_bucket_is_shown(empty: Engine) -> None:
    shared = {"task": "triage", "requests": 1, "reasons": [], "figures": {"threshold": 4.0}}
    put(
        empty,
        database.checks,
        *[
            {**shared, "at": 1000 + at, "alarm": alarm, "evidence": {"text": wealth}}
            for at, alarm, wealth in [(0, False, 1.0), (10, True, 5.0), (20, False, float("nan"))]
        ],
    )
    with empty.connect() as connection:
        [point] = history.evidence(connection, "triage", 0, 900)
    assert point == {"at": 1020, "version": None, "evidence": {}, "threshold": 4.0, "alarm": True}


def test_the_queries_are_postgresql_too() -> None:
    words = str(
        select(bins.latency_bin(database.requests.c.latency), bins.bucket_of(database.requests.c.at, 60)).compile(
            dialect=postgresql.dialect()
        )
    )
    assert "FLOOR" not in words and "AS BIGINT) / " in words  # integers divided by integers: the same in both
