"""The rows of a query, from any database that SQLAlchemy reaches."""

import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import quote

from pydantic import Field

from tasks.errors import AnnealError, TransientError
from tasks.files import write_text
from tasks.section import Section
from tasks.sources._address import Address, resolved, shown, without_secrets
from tasks.stages.ingest.json_rows import value_of
from tasks.stages.ingest.params import Ingest
from tasks.stages.ingest.values import as_json, plain
from tasks.texts.clean import clean

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

IS_FIXED = False
SECONDS = 4  # until a database that does not answer is taken for unreachable
EXPLAINS = ("sqlite", "postgresql", "mysql", "mariadb")  # say what is wrong with a query without running it
POSTGRES = ("postgres", "postgresql")


class Params(Section):
    """A database and the query whose rows are taken."""

    kind: Literal["sql"] = "sql"
    url: Address
    query: str = Field(min_length=1, description="a single select; rows keep the order of an `order by`")


def problem(params: Section) -> str | None:
    """Return why the query cannot be run: not a select, no such table, a database that does not answer."""
    assert isinstance(params, Params)
    try:
        _checked(params.query)
        with _connected(params) as connection:
            if connection.dialect.name == "postgresql":  # the table may be locked
                connection.exec_driver_sql(f"SET LOCAL statement_timeout = {1000 * SECONDS}")
            if connection.dialect.name in EXPLAINS:
                connection.exec_driver_sql(f"EXPLAIN {params.query}").close()
    except AnnealError as error:
        return str(error)
    return None


def fetch(params: Section, ingest: Ingest, folder: Path) -> int:
    """Write `folder/rows.jsonl`. Equal rows give equal bytes: those of a query without an order are sorted."""
    assert isinstance(params, Params)
    lines: list[str] = []
    is_ordered = _checked(params.query)
    try:
        with _connected(params) as connection:
            for number, row in enumerate(_rows(connection, params.query), 1):
                lines.append(_line(row, ingest, f"row {number} of the query of {shown(params.url)}"))
    except TransientError as error:
        raise TransientError(f"{error}, after {len(lines)} rows; nothing was written, run again.") from None
    write_text(folder / "rows.jsonl", "".join(lines if is_ordered else sorted(lines)))
    return len(lines)


def _checked(query: str) -> bool:
    """True if the query orders its rows; AnnealError if it is not a single select."""
    import sqlparse

    statements = [statement for statement in sqlparse.parse(query) if str(statement).strip(" \t\r\n;")]
    if len(statements) != 1 or statements[0].get_type() != "SELECT":
        begin = " ".join(query.split())[:60]
        raise AnnealError(f"query is {begin!r}, and should be one select (or `with … select`), which changes nothing")
    return any(token.normalized == "ORDER BY" for token in statements[0].tokens)


@contextmanager
def _connected(params: Params) -> "Iterator[Connection]":
    """Yield a read-only connection; errors of the database become TransientError."""
    from sqlalchemy.exc import DBAPIError, SQLAlchemyError

    engine = _engine(params.url)
    try:
        with engine.connect() as connection:
            options = {"postgresql_readonly": True} if engine.dialect.name == "postgresql" else {}
            yield connection.execution_options(no_parameters=True, **options)
    except SQLAlchemyError as error:
        words = without_secrets(error.orig if isinstance(error, DBAPIError) else error, params.url)
        raise TransientError(f"the database at {shown(params.url)} says: {words}") from None
    finally:
        engine.dispose()


def _engine(address: str) -> "Engine":
    from sqlalchemy import create_engine
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError
    from sqlalchemy.pool import NullPool

    try:
        url = make_url(resolved(address))
        if url.drivername == "sqlite":
            return create_engine("sqlite://", creator=lambda: _sqlite(url.database), poolclass=NullPool)
        if url.drivername in POSTGRES:
            url = url.set(drivername="postgresql+psycopg")
        limits = {"connect_timeout": SECONDS} if url.get_backend_name() in EXPLAINS else {}
        return create_engine(url, poolclass=NullPool, connect_args=limits, json_deserializer=_json)
    except ModuleNotFoundError as error:
        raise AnnealError(f"{shown(address)} needs the package {error.name}, which is not installed") from None
    except NoSuchModuleError:
        raise AnnealError(
            f"{shown(address)} names a kind of database that SQLAlchemy does not know: correct it, or install its "
            "package"
        ) from None
    except (ArgumentError, ValueError):
        raise AnnealError(f"{shown(address)} is not the URL of a database, as in sqlite:///data/tickets.db") from None


def _sqlite(path: str | None) -> sqlite3.Connection:
    """Open an existing file read-only: SQLite would otherwise create an empty one."""
    if not path or not Path(path).is_file():
        raise AnnealError(f"the SQLite database {path or '(in memory)'} does not exist: correct the path")
    return sqlite3.connect(f"file:{quote(path)}?mode=ro", uri=True, timeout=SECONDS)


def _json(text: str | bytes) -> object:
    """Return the value of a JSON cell, with numbers as they are written."""
    return value_of(text if isinstance(text, str) else text.decode("utf-8"), "a cell of JSON")


def _rows(connection: "Connection", query: str) -> Iterator[Mapping[str, object]]:
    connection = connection.execution_options(stream_results=True, max_row_buffer=1000)
    with closing(connection.exec_driver_sql(query.rstrip("; \t\r\n"))) as result:
        names = [clean(name) for name in tuple(result.keys())]
        name, count = Counter(names).most_common(1)[0]
        if count > 1:
            raise AnnealError(
                f"the query has the column `{name}` {count} times; name each column once (`select a as b`)."
            )
        for values in result:
            yield dict(zip(names, values, strict=True))


def _line(row: Mapping[str, object], ingest: Ingest, where: str) -> str:
    """Return a row as a line of JSON; a text in one of `ingest.json_columns` is parsed, since not every database has a
    JSON type.
    """
    cells = {}
    for column, value in row.items():
        cell = f"{where}: `{column}`"
        is_json_text = column in ingest.json_columns and isinstance(value, str)
        plain_value = value_of(str(value), cell) if is_json_text else plain(value)
        cells[column] = as_json(plain_value, cell, "of the query")
    return f"{{{','.join(f'{as_json(column, where)}:{text}' for column, text in cells.items())}}}\n"
