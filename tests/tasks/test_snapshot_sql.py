"""The rows of a query as a snapshot, from SQLite and a real PostgreSQL: whole or not at all, and no secret anywhere."""

import datetime
import json
import sqlite3
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import JSON, Column, Date, Float, Integer, LargeBinary, MetaData, Numeric, Table, Text, create_engine

from tasks.errors import AnnealError, ParamsError, TransientError
from tasks.files import read_json
from tasks.sources import sql
from tasks.stages.ingest import Ingest, read
from tasks.steps import snapshot

TICKETS = Table(
    "tickets",
    MetaData(),
    Column("id", Integer, primary_key=True),
    Column("text", Text),
    Column("price", Numeric(8, 2)),
    Column("weight", Float),
    Column("day", Date),
    Column("turns", JSON),
    Column("picture", LargeBinary),
)
ROWS = [
    {
        "id": number,
        "text": f"the lamp is 100% {word}: see ::this and :that",
        "price": Decimal("1.50"),
        "weight": 0.1,
        "day": datetime.date(2026, 1, 2),
        "turns": [{"from": "human", "value": word, "n": 1.5}],
        "picture": b"\x89PNG",
    }
    for number, word in enumerate(["dark", "café", "broken"], 1)
]
QUERY = "select id, text, weight, turns from tickets where text like '%:%' and ':that' <> '%s'"


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """(engine, what snapshot.url says) of a database with three tickets."""
    monkeypatch.chdir(tmp_path)
    if request.param == "sqlite":
        url = address = "sqlite:///tickets.db"
    else:
        url, address = request.getfixturevalue("postgres"), "TICKETS_DATABASE"
        monkeypatch.setenv(address, url)
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    TICKETS.create(engine)
    with engine.begin() as connection:
        connection.execute(TICKETS.insert(), ROWS)
    yield engine, address
    TICKETS.drop(engine)
    engine.dispose()


def refresh(address: str, query: str = QUERY, **ingest: object) -> bool:
    ingest = Ingest(source="data/snapshots/d", **({"json_columns": ["turns"]} | ingest))
    return snapshot.refresh("d", sql.Params(url=address, query=query), ingest)


def taken(**ingest: object) -> list[dict]:
    params = Ingest(source="data/snapshots/d", **ingest)
    return read(params, Path(params.source))[0]


def stored() -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in Path("data/snapshots").rglob("*") if path.is_file()}


@pytest.mark.slow
def test_rows_are_taken_with_a_manifest_beside_them(database):
    _, address = database
    assert refresh(address, license="cc0-1.0")
    assert taken(json_columns=["turns"]) == [
        {
            "id": str(row["id"]),
            "text": row["text"],
            "weight": "0.1",
            "turns": json.dumps(row["turns"], separators=(",", ":"), ensure_ascii=False),
        }
        for row in ROWS
    ]
    manifest = read_json(Path("data/snapshots/d.json"))
    assert manifest["source"] == {"kind": "sql", "url": address, "query": QUERY}
    assert manifest["rows"] == 3 and manifest["license"] == "cc0-1.0" and manifest["at"].endswith("+00:00")
    assert manifest["sha256"] == manifest["files"][0]["sha256"]
    assert [path.name for path in Path("data/snapshots/d").iterdir()] == ["rows.jsonl"]


@pytest.mark.slow
def test_unchanged_rows_leave_every_byte_and_changed_ones_do_not(database):
    engine, address = database
    assert refresh(address)
    before = stored()
    assert not refresh(address) and stored() == before
    with engine.begin() as connection:  # the same rows in another order, as an update of PostgreSQL leaves them
        connection.execute(TICKETS.delete().where(TICKETS.c.id == 1))
        connection.execute(TICKETS.insert(), ROWS[:1])
    assert not refresh(address) and stored() == before
    Path("data/snapshots/d/harvested-0001.jsonl").write_text('{"id": "h", "text": "t", "weight": "1", "turns": []}\n')
    with engine.begin() as connection:
        connection.execute(TICKETS.update().where(TICKETS.c.id == 2).values(text="an:other"))
    assert refresh(address)
    assert [row["id"] for row in taken(json_columns=["turns"])] == ["h", "1", "2", "3"]


@pytest.mark.slow
def test_rows_in_an_order_keep_it(database):
    _, address = database
    assert refresh(address, "select id, text from tickets order by id desc;", json_columns=[])
    assert [row["id"] for row in taken()] == ["3", "2", "1"]


@pytest.mark.slow
@pytest.mark.parametrize("database", ["postgresql"], indirect=True)  # SQLite has no decimal numbers
def test_numbers_are_written_as_they_are(database):
    _, address = database
    assert refresh(address, "select id, price, day from tickets where id = 1", json_columns=[])
    assert taken() == [{"id": "1", "price": "1.50", "day": "2026-01-02"}]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("select id, text from tikets", "tikets"),
        ("select txt from tickets", "txt"),
        ("select (", "says:"),
        ("delete from tickets", "should be one select"),
        ("select 1 as a; drop table tickets", "should be one select"),
        ("-- nothing", "should be one select"),
    ],
)
def test_a_query_that_cannot_be_asked_is_refused_before_any_work(database, query, words):
    engine, address = database
    with pytest.raises(ParamsError) as error:
        refresh(address, query)
    assert str(error.value).startswith("params.yaml: datasets.d.snapshot: ") and words in str(error.value)
    assert error.value.exit_status == 2 and not Path("data").exists()
    with engine.connect() as connection:
        assert len(connection.execute(TICKETS.select()).all()) == 3


@pytest.mark.slow
@pytest.mark.parametrize("database", ["postgresql"], indirect=True)  # SQLite's selects never write
def test_a_query_that_would_write_is_stopped_by_the_database(database):
    engine, address = database
    with pytest.raises(AnnealError, match="data-modifying"):
        refresh(address, "with gone as (delete from tickets returning id, text) select * from gone")
    with engine.connect() as connection:
        assert len(connection.execute(TICKETS.select()).all()) == 3
    assert refresh(address, "select current_setting('transaction_read_only') as text", json_columns=[])
    assert taken()[0]["text"] == "on"


@pytest.mark.slow
@pytest.mark.parametrize("database", ["postgresql"], indirect=True)  # SQLite has no such lock
def test_a_table_that_is_locked_is_refused_in_seconds(database, monkeypatch):
    engine, address = database
    monkeypatch.setattr(sql, "SECONDS", 1)
    with engine.begin() as connection:
        connection.exec_driver_sql("lock table tickets in access exclusive mode")
        with pytest.raises(ParamsError, match="canceling statement due to statement timeout"):
            refresh(address)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("select id, picture from tickets", "row 1 of the query of {}: `picture` is bytes"),
        ("select id, id from tickets", "the query has the column `id` 2 times"),
        ("select id, text from tickets where id > 9", "the source of the dataset d gave no rows"),
    ],
)
def test_what_cannot_be_kept_is_refused_and_nothing_is_written(database, query, words):
    _, address = database
    assert refresh(address)
    before = stored()
    with pytest.raises(AnnealError) as error:
        refresh(address, query)
    assert str(error.value).startswith(words.format(address)) and stored() == before


@pytest.mark.slow
def test_a_database_that_ends_the_connection_half_way_leaves_the_last_snapshot(postgres, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TICKETS_DATABASE", postgres)
    many = "select n as id, 'text ' || n as text from generate_series(1, 30) n"
    assert refresh("TICKETS_DATABASE", many, json_columns=[])
    before = stored()
    dies = (
        "select n as id, 'text ' || n || case when n = 5000 then pg_terminate_backend(pg_backend_pid())::text else '' "
        "end as text from generate_series(1, 9000) n"
    )
    with pytest.raises(
        TransientError, match=r"^the database at TICKETS_DATABASE says: .*, after \d\d\d\d rows; nothing"
    ):
        refresh("TICKETS_DATABASE", dies, json_columns=[])
    assert stored() == before
    assert sorted(path.name for path in Path("data/snapshots").iterdir()) == ["d", "d.json"]


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("NOT_SET_AT_ALL", "the environment variable NOT_SET_AT_ALL is not set: set it to the URL."),
        ("sqlite:///no.db", "the SQLite database no.db does not exist: correct the path."),
        ("sqlite://", "the SQLite database (in memory) does not exist: correct the path."),
        ("nosuch://x/y", "nosuch://x/y names a kind of database that SQLAlchemy does not know: correct it, or ins"),
        ("mysql://x/y", "mysql://x/y needs the package MySQLdb, which is not installed."),
        ("tickets", "tickets is not the URL of a database, as in sqlite:///data/tickets.db."),
        ("postgresql://me:geheim@x/y", "the URL contains a password, which does not belong in params.yaml: put"),
    ],
)
def test_an_address_that_leads_nowhere_is_refused(tmp_path, monkeypatch, address, words):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ParamsError) as error:
        refresh(address, "select 1 as a", json_columns=[])
    assert str(error.value).startswith(f"params.yaml: datasets.d.snapshot: {words}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("host", ["127.0.0.1:1", "127.0.0.1:notaport"])
def test_a_secret_is_in_no_sentence(tmp_path, monkeypatch, host):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DB", f"postgresql://me:ge%40heim@{host}/y")
    with pytest.raises(ParamsError) as error:
        refresh("DB", "select 1 as a", json_columns=[])
    assert "DB" in str(error.value) and "heim" not in str(error.value)


def test_a_sqlite_file_of_any_name_is_read_and_a_text_may_hold_json(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    connection = sqlite3.connect("my #1 tickets.db")
    connection.execute("create table t (id integer, turns text)")
    connection.execute("insert into t values (1, '[{\"a\": 1.50}]')")
    connection.commit()
    connection.close()
    before = Path("my #1 tickets.db").read_bytes()
    assert refresh("sqlite:///my #1 tickets.db", "select * from t")
    assert taken(json_columns=["turns"]) == [{"id": "1", "turns": '[{"a":1.50}]'}]
    assert Path("my #1 tickets.db").read_bytes() == before
