"""The commands that people gave the reconciler: claimed from the records and answered there."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TypedDict, cast

from sqlalchemy import ColumnElement, Engine

from tasks.errors import AnnealError
from tasks.records import database
from tasks.records.database import CommandState

ALIVE = Path(".anneal/serving/reconcile.alive")  # touched each turn of the loop; probes look at it too
FRESH = 5.0  # seconds


class Command(TypedDict):
    """A promotion or rollback that somebody has requested."""

    id: int
    at: float
    task: str
    action: str
    key_id: str
    done_at: float | None
    state: str | None
    result: str | None


def connect() -> Engine:
    """An engine on the records, its tables made."""
    return database.connect()


def is_reconciler_running() -> bool:
    """True while a reconciler runs: it does in a second what another process needs ten seconds of imports for."""
    return ALIVE.exists() and time.time() - ALIVE.stat().st_mtime < FRESH


def ask(task: str, action: str, patience: float) -> str:
    """Let the reconciler carry out `action`; returns the result, or raises AnnealError with the reason of a refusal."""
    engine, end = connect(), time.monotonic() + patience
    table = database.commands
    with engine.begin() as connection:
        row = {"at": time.time(), "task": task, "action": action, "key_id": "command line"}
        number = connection.execute(table.insert().values(row).returning(table.c.id)).scalar_one()
    answer = None
    while answer is None or answer.state in (None, CommandState.CLAIMED):
        if time.monotonic() > end:
            raise AnnealError(
                f"the reconciler has not carried out the {action} of {task} within {patience:.0f} s; it will when it "
                "can: see .anneal/logs/reconciler.log."
            )
        time.sleep(0.1)
        with engine.connect() as connection:
            answer = connection.execute(table.select().where(table.c.id == number)).one()
    engine.dispose()
    if answer.state == CommandState.REFUSED:
        raise AnnealError(answer.result)
    return str(answer.result)


def open_commands(engine: Engine) -> list[Command]:
    """The requested promotions and rollbacks without an answer, oldest first; claimed ones too, since a killed
    reconciler leaves them so.
    """
    from sqlalchemy import select

    table = database.commands
    with engine.connect() as connection:
        listed = connection.execute(
            select(table).where(_unanswered(), table.c.action.in_(("promote", "rollback"))).order_by(table.c.id)
        )
        return [cast(Command, row._asdict()) for row in listed]


def claim(engine: Engine, number: int) -> None:
    """Mark the command `number` as being carried out, for people to see; it stays open until it is closed."""
    _update(engine, number, {"state": CommandState.CLAIMED.value, "result": "being carried out"})


def close_command(engine: Engine, number: int, state: CommandState, result: str) -> None:
    """Answer the command `number` with its result; the first answer stays."""
    _update(engine, number, {"done_at": time.time(), "state": state.value, "result": result[:400]})


def _update(engine: Engine, number: int, values: Mapping[str, object]) -> None:
    table = database.commands
    with engine.begin() as connection:
        connection.execute(table.update().where(table.c.id == number, _unanswered()).values(values))


def _unanswered() -> ColumnElement[bool]:
    """Commands without an answer. Earlier versions of Anneal set `done_at` with the claim."""
    from sqlalchemy import or_

    table = database.commands
    return or_(table.c.done_at.is_(None), table.c.state == CommandState.CLAIMED.value)
