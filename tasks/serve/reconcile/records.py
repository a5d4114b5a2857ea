"""The reconciler's door to the records: an engine that comes back by itself, decisions written, commands read."""

import time
from pathlib import Path
from typing import Any

from tasks import database
from tasks.errors import AnnealError

ALIVE = Path(".anneal/serving/reconcile.alive")  # touched each turn of the loop; probes look at it too
FRESH = 5.0  # seconds
CLAIMED, REFUSED = "being carried out", "not done: "


def connect() -> Any:
    """An engine on the records, its tables made."""
    return database.connect()


def decide(engine: Any, task: str, kind: str, verdict: str, reasons: tuple[str, ...], facts: dict) -> None:
    """Write a decision down."""
    with engine.begin() as connection:
        connection.execute(database.decisions.insert().values(at=time.time(), task=task, kind=kind, verdict=verdict, reasons=list(reasons), facts=facts))


def note(task: str, kind: str, verdict: str, reasons: tuple[str, ...], facts: dict) -> None:
    """Write a decision down from a command or a flow; one that cannot be written is said, for the act itself is done."""
    from sqlalchemy.exc import SQLAlchemyError

    from tasks.errors import TransientError

    try:
        engine = connect()
        decide(engine, task, kind, verdict, reasons, facts)
        engine.dispose()
    except (TransientError, SQLAlchemyError) as error:
        print(f"the decision is not in the records ({error})", flush=True)


def is_watched() -> bool:
    """True while a reconciler runs: it has everything at hand, and does in a second what a command of its own needs ten to load for."""
    return ALIVE.exists() and time.time() - ALIVE.stat().st_mtime < FRESH


def ask(task: str, action: str, patience: float) -> str:
    """Let the reconciler carry out `action`; what came of it, or AnnealError with why not."""
    engine, end = connect(), time.monotonic() + patience
    table = database.commands
    with engine.begin() as connection:
        number = connection.execute(table.insert().values(at=time.time(), task=task, action=action, key_id="command line")).inserted_primary_key[0]
    result = None
    while result in (None, CLAIMED):
        if time.monotonic() > end:
            raise AnnealError(f"the reconciler has not carried out the {action} of {task} within {patience:.0f} s; it will when it can: see .anneal/logs/reconciler.log.")
        time.sleep(0.1)
        with engine.connect() as connection:
            result = connection.execute(table.select().where(table.c.id == number)).one().result
    engine.dispose()
    if result.startswith(REFUSED):
        raise AnnealError(result.removeprefix(REFUSED))
    return result


def open_commands(engine: Any) -> list[dict]:
    """The promotions and rollbacks that people asked for and nobody has carried out, oldest first."""
    from sqlalchemy import select

    table = database.commands
    with engine.connect() as connection:
        found = connection.execute(select(table).where(table.c.done_at.is_(None), table.c.action.in_(("promote", "rollback"))).order_by(table.c.id))
        return [dict(row._mapping) for row in found]


def close_command(engine: Any, number: int, result: str) -> None:
    """Mark the command `number` as done, with what came of it."""
    table = database.commands
    with engine.begin() as connection:
        connection.execute(table.update().where(table.c.id == number).values(done_at=time.time(), result=result[:400]))
