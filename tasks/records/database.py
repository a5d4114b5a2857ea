"""The records of serving: requests, feedback, checks, decisions, commands, retrainings. SQLite beside the checkout,
or PostgreSQL by URL.
"""

import os
from enum import StrEnum
from pathlib import Path

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Engine,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    Update,
    case,
    create_engine,
    event,
    inspect,
    text,
    update,
)
from sqlalchemy.exc import SQLAlchemyError

from tasks.errors import TransientError
from tasks.records import sqlite

STORE = Path(".anneal/records.db")
metadata = MetaData()
Key = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts up plain integers only

# Times are seconds since the epoch, UTC. Texts of requests are redacted before they come here.
requests = Table(
    "requests",
    metadata,
    Column("id", String(64), primary_key=True),  # as the client gets it in x-request-id
    Column("at", Float, nullable=False),
    Column("task", String(64)),
    Column("version", String(32)),
    Column("artifact", String(64)),
    Column("role", String(16)),  # champion, canary, shadow or pinned
    Column("shadow_of", String(64)),  # the request that a shadow answered too
    Column("template_sha256", String(64)),
    Column("key_id", String(64)),
    Column("path", String(64)),
    Column("status", Integer, nullable=False),
    Column("error", String(200)),  # a code, never a text of the request
    Column("latency", Float),  # seconds to the last byte
    Column("first_token", Float),  # seconds to the first byte of a stream
    Column("prompt_tokens", Integer),
    Column("completion_tokens", Integer),
    Column("finish_reason", String(32)),
    Column("valid", Boolean),  # the answer is what the task's answers must be; null for requests that are not one
    Column(
        "input",
        JSON,
        # {column: text} of the template, {"messages": [...]} (and "tools" where it brought any), or {"prompt": ...}
    ),
    Column("output", Text),  # the text of the answer, or the tool calls in it as their canonical JSON
    Column(
        "probabilities", JSON(none_as_null=True)
    ),  # {column: {class: share}} if the model predicts classes, else null
    Index("requests_by_task", "task", "at"),
    Index(
        "requests_over_time", "at", "task", "version", "role", "status", "error", "valid", "latency"
    ),  # covers the sums of the dashboard
)
feedback = Table(
    "feedback",
    metadata,
    Column("id", Key, primary_key=True, autoincrement=True),
    Column("at", Float, nullable=False),
    Column("request_id", String(64), nullable=False, index=True),
    Column("key_id", String(64)),
    Column("thumb", Integer),  # 1 or -1
    Column("correction", JSON),  # the whole answer as a person says it should have been: {column: text}
    Index("feedback_over_time", "at"),
)
checks = Table(
    "checks",
    metadata,
    Column("id", Key, primary_key=True, autoincrement=True),
    Column("at", Float, nullable=False),
    Column("task", String(64), nullable=False),
    Column("version", String(32)),
    Column("artifact", String(64)),
    Column("requests", Integer, nullable=False),  # looked at for the first time
    Column("alarm", Boolean, nullable=False),
    Column("reasons", JSON, nullable=False),  # sentences
    Column(
        "evidence", JSON, nullable=False
    ),  # {what: log10 of the wealth of its martingale}; the alarm's line is in figures["threshold"]
    Column("figures", JSON, nullable=False),  # {name: number}: shares, accuracies, p-values, latencies
    Column("report", String(400)),  # path of the HTML page
    Index("checks_by_task", "task", "at"),
)
decisions = Table(
    "decisions",
    metadata,
    Column("id", Key, primary_key=True, autoincrement=True),
    Column("at", Float, nullable=False),
    Column("task", String(64), nullable=False),
    Column("kind", String(16), nullable=False),  # retrain, canary, promote, rollback, gate, pause, serve
    Column("verdict", String(16), nullable=False),  # yes, no, opened, promoted, rolled_back, held, …
    Column("reasons", JSON, nullable=False),  # sentences
    Column("facts", JSON, nullable=False),  # what it was decided on
    Index("decisions_by_task", "task", "at"),
)


class CommandState(StrEnum):
    """The state of a command; null in the table until it is claimed."""

    CLAIMED = "claimed"
    DONE = "done"
    REFUSED = "refused"


commands = Table(  # asked for on the dashboard; carried out by the reconciler or the retraining flow
    "commands",
    metadata,
    Column("id", Key, primary_key=True, autoincrement=True),
    Column("at", Float, nullable=False),
    Column("task", String(64), nullable=False),
    Column("action", String(16), nullable=False),  # promote, rollback (reconciler); retrain, pause, resume (retrain)
    Column("key_id", String(64)),
    Column("done_at", Float),
    Column("state", String(16)),  # a CommandState
    Column("result", String(400)),
)


class RetrainingState(StrEnum):
    """The outcome of a retraining; null in the table while it runs, or if it is unknown."""

    PROMOTED = "promoted"
    CANARY = "canary"  # a canary is open
    UNCHANGED = "unchanged"  # it made the champion again
    HELD_BACK = "held back"  # it made a version that was rolled back before
    REFUSED = "refused"  # by the gate
    FAILED = "failed"
    KILLED = "killed"


retrainings = Table(
    "retrainings",
    metadata,
    Column("id", Key, primary_key=True, autoincrement=True),
    Column("task", String(64), nullable=False, index=True),
    Column("started_at", Float, nullable=False),
    Column("ended_at", Float),
    Column("state", String(16)),  # a RetrainingState
    Column("outcome", String(200)),  # the same as a sentence, for people
    Column("reasons", JSON, nullable=False),
)


def url() -> str:
    """`ANNEAL_DATABASE_URL`, or the SQLite file of this checkout."""
    return os.environ.get("ANNEAL_DATABASE_URL") or f"sqlite:///{STORE}"


def connect(address: str | None = None) -> Engine:
    """An engine on the records at `address` (or `url()`), its tables made; TransientError in seconds when the
    database does not answer.
    """
    address = address or url()
    if address.startswith("postgresql://"):
        address = address.replace("postgresql://", "postgresql+psycopg://", 1)
    local = address.startswith("sqlite")
    if local:
        path = Path(address.partition("///")[2])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)  # it holds what customers wrote
    engine = create_engine(
        address,
        connect_args={"timeout": sqlite.BUSY_SECONDS} if local else {"connect_timeout": 5},
        pool_pre_ping=not local,
    )
    if local:
        event.listen(engine, "connect", sqlite.prepare)
    try:
        _make_tables(engine)
    except SQLAlchemyError as error:
        engine.dispose()
        raise TransientError(
            f"the records at {engine.url} do not answer ({type(error).__name__}): start the database, or correct "
            "ANNEAL_DATABASE_URL."
        ) from None
    return engine


def _make_tables(engine: Engine) -> None:
    """Make the missing tables; `make up` starts several programs that do so at the same moment."""
    for retries in (3, 2, 1, 0):
        try:
            metadata.create_all(engine)
            return _add_columns(engine)
        except SQLAlchemyError as error:
            if not retries or not any(words in str(error) for words in ("already exists", "duplicate")):
                raise


def _add_columns(engine: Engine) -> None:
    """Add the columns that tables of an earlier version of Anneal lack; all of them may be null."""
    for column in (commands.c.state, retrainings.c.state, requests.c.probabilities):
        table = column.table
        if column.name in {existing["name"] for existing in inspect(engine).get_columns(table.name)}:
            continue
        kind = column.type.compile(engine.dialect)
        with engine.begin() as connection:
            if engine.dialect.name == "sqlite":
                connection.exec_driver_sql("BEGIN IMMEDIATE")  # else the new column would stand before it is filled
            connection.execute(text(f"ALTER TABLE {table.name} ADD COLUMN {column.name} {kind}"))
            if column is retrainings.c.state:
                connection.execute(_states_of_sentences())


def _states_of_sentences() -> Update:
    """Fill in the states of retrainings that were kept as sentences only; of an unknown sentence it stays null."""
    first_words = {
        "promoted: version": RetrainingState.PROMOTED,
        "canary: version": RetrainingState.CANARY,
        "nothing new: version": RetrainingState.UNCHANGED,
        "held back: version": RetrainingState.HELD_BACK,
        "refused by the gate": RetrainingState.REFUSED,
        "failed: ": RetrainingState.FAILED,
        "killed: ": RetrainingState.KILLED,
    }
    states = case(*((retrainings.c.outcome.startswith(words), state.value) for words, state in first_words.items()))
    return update(retrainings).where(retrainings.c.ended_at.is_not(None)).values(state=states)
