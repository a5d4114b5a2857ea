"""The log of decisions and their reasons: rows of the records, each written once."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from tasks.errors import TransientError


@dataclass(frozen=True)
class Decision:
    """One decision about `task`. Its kind and time identify it, so it can be written again safely."""

    task: str
    kind: str  # retrain, canary, promote, rollback, gate, pause, serve
    verdict: str  # promoted, rolled_back, opened, …
    reasons: tuple[str, ...]
    facts: Mapping[str, object]
    at: float = field(default_factory=time.time)


def write(decision: Decision) -> None:
    """Put `decision` in the records unless it is there; TransientError when they cannot be reached."""
    from sqlalchemy.exc import SQLAlchemyError

    from tasks.records import database

    table = database.decisions
    same = table.select().where(table.c.task == decision.task, table.c.kind == decision.kind, table.c.at == decision.at)
    row = {
        "at": decision.at,
        "task": decision.task,
        "kind": decision.kind,
        "verdict": decision.verdict,
        "reasons": list(decision.reasons),
        "facts": dict(decision.facts),
    }
    engine = database.connect()
    try:
        with engine.begin() as connection:
            if connection.execute(same).first() is None:
                connection.execute(table.insert().values(row))
    except SQLAlchemyError as error:
        raise TransientError(f"the records cannot be written ({type(error).__name__}).") from None
    finally:
        engine.dispose()


def of_command(task: str, number: int) -> Decision | None:
    """The decision about `task` that carried out the command `number`; TransientError when the records are away."""
    from sqlalchemy.exc import SQLAlchemyError

    from tasks.records import database

    table = database.decisions
    query = table.select().where(table.c.task == task, table.c.facts["command"].as_integer() == number)
    engine = database.connect()
    try:
        with engine.connect() as connection:
            row = connection.execute(query.order_by(table.c.id)).first()
    except SQLAlchemyError as error:
        raise TransientError(f"the records cannot be read ({type(error).__name__}).") from None
    finally:
        engine.dispose()
    return None if row is None else Decision(task, row.kind, row.verdict, tuple(row.reasons), row.facts, row.at)


def note(decision: Decision) -> None:
    """Write a decision that only reports; a failure to write it is printed, since what it reports has happened."""
    try:
        write(decision)
    except TransientError as error:
        print(f"the decision is not in the records ({error})", flush=True)
