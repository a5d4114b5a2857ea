"""Reads earlier checks from the table of checks, and writes each new one once."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from sqlalchemy import Engine, insert, select

from tasks.records.database import checks

# figure: 1 if the version answers an alarm, so that its own first requests are the reference
FRESH = "normal_is_traffic"


@dataclass(frozen=True)
class MonitorCheck:
    """A row of `checks`: the result of a check, and the path of its report."""

    at: float
    task: str
    version: str
    artifact: str
    requests: int
    alarm: bool
    reasons: tuple[str, ...]
    evidence: Mapping[str, float]
    figures: Mapping[str, float]
    report: str | None


@dataclass(frozen=True)
class Evidence:
    """The evidence of a check: log10 of the wealth of each group."""

    at: float
    by_group: Mapping[str, float]


def history(engine: Engine, task: str, artifact: str) -> list[Evidence]:
    """Return the evidence of the earlier checks of a version, oldest first."""
    query = (
        select(checks.c.at, checks.c.evidence)
        .where(checks.c.task == task, checks.c.artifact == artifact)
        .order_by(checks.c.at)
    )
    with engine.connect() as connection:
        return [Evidence(row.at, row.evidence) for row in connection.execute(query)]


def answers_an_alarm(engine: Engine, task: str, artifact: str) -> bool:
    """True if the version before this one was in alarm, or was itself FRESH."""
    query = (
        select(checks.c.alarm, checks.c.figures)
        .where(checks.c.task == task, checks.c.artifact != artifact)
        .order_by(checks.c.at.desc(), checks.c.id.desc())
        .limit(1)
    )
    with engine.connect() as connection:
        before = connection.execute(query).first()
    return before is not None and (before.alarm or before.figures.get(FRESH) == 1)


def write(engine: Engine, check: MonitorCheck) -> None:
    """Write `check` to the records unless it is there already."""
    with engine.begin() as connection:
        same = select(checks.c.id).where(
            checks.c.task == check.task, checks.c.artifact == check.artifact, checks.c.at == check.at
        )
        if connection.execute(same).first() is None:
            connection.execute(insert(checks).values(**asdict(check)))
