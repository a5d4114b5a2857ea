"""The table of checks: earlier ones are read from it, and each is written to it once."""

from typing import Any

from sqlalchemy import Engine, insert, select

from tasks.database import checks

# figure: 1 when the version answers an alarm, so that its own first requests are what is normal
FRESH = "normal_is_traffic"


def history(engine: Engine, task: str, artifact: str) -> list[dict[str, Any]]:
    """{at, evidence, alarm, requests} of the earlier checks of a version, oldest first."""
    query = (
        select(checks.c.at, checks.c.evidence, checks.c.alarm, checks.c.requests)
        .where(checks.c.task == task, checks.c.artifact == artifact)
        .order_by(checks.c.at)
    )
    with engine.connect() as connection:
        return [dict(row._mapping) for row in connection.execute(query)]


def answers_an_alarm(engine: Engine, task: str, artifact: str) -> bool:
    """True when the version before this one was in alarm, or itself took its traffic for what is normal."""
    query = (
        select(checks.c.alarm, checks.c.figures)
        .where(checks.c.task == task, checks.c.artifact != artifact)
        .order_by(checks.c.at.desc(), checks.c.id.desc())
        .limit(1)
    )
    with engine.connect() as connection:
        before = connection.execute(query).first()
    return before is not None and (before.alarm or before.figures.get(FRESH) == 1)


def write(engine: Engine, row: dict[str, Any] | None) -> None:
    """Put `row` into the records unless it is there."""
    if row is None:
        return
    with engine.begin() as connection:
        same = select(checks.c.id).where(
            checks.c.task == row["task"], checks.c.artifact == row["artifact"], checks.c.at == row["at"]
        )
        if connection.execute(same).first() is None:
            connection.execute(insert(checks).values(**row))
