"""The reconciler's side of the records: the commands that people gave it, claimed and answered."""

import time
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from tasks import database
from tasks.database import CommandState
from tasks.errors import AnnealError

ALIVE = Path(".anneal/serving/reconcile.alive")  # touched each turn of the loop; probes look at it too
FRESH = 5.0  # seconds


def connect() -> Engine:
    """An engine on the records, its tables made."""
    return database.connect()


def is_watched() -> bool:
    """True while a reconciler runs: it has everything at hand, and does in a second what a command of its own needs
    ten to load for.
    """
    return ALIVE.exists() and time.time() - ALIVE.stat().st_mtime < FRESH


def ask(task: str, action: str, patience: float) -> str:
    """Let the reconciler carry out `action`; what came of it, or AnnealError with why not."""
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


def open_commands(engine: Engine) -> list[dict[str, Any]]:
    """The promotions and rollbacks that people asked for and nobody has carried out, oldest first."""
    from sqlalchemy import select

    table = database.commands
    with engine.connect() as connection:
        found = connection.execute(
            select(table)
            .where(table.c.done_at.is_(None), table.c.action.in_(("promote", "rollback")))
            .order_by(table.c.id)
        )
        return [dict(row._mapping) for row in found]


def claim(engine: Engine, number: int) -> None:
    """Mark the command `number` as being carried out: it is not taken up again, whatever becomes of us."""
    _update(engine, number, CommandState.CLAIMED, "being carried out")


def close_command(engine: Engine, number: int, state: CommandState, result: str) -> None:
    """Mark the command `number` as answered, with what came of it."""
    _update(engine, number, state, result)


def _update(engine: Engine, number: int, state: CommandState, result: str) -> None:
    table = database.commands
    with engine.begin() as connection:
        values = {"done_at": time.time(), "state": state.value, "result": result[:400]}
        connection.execute(table.update().where(table.c.id == number).values(values))
