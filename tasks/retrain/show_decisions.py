"""The log of decisions: `python -m tasks.retrain.show_decisions [MODEL]` shows the newest ones with their reasons."""

import sys
from datetime import datetime

from sqlalchemy import Engine, delete, func, select

from tasks import stage
from tasks.records import database
from tasks.records.database import decisions
from tasks.records.decisions import Decision
from tasks.retrain.store import KIND

NEWEST = 30
DAY = 24 * 3600.0


def newest(engine: Engine, task: str | None = None, limit: int = NEWEST) -> list[Decision]:
    """Return the newest decisions of all kinds, newest first."""
    columns = decisions.c
    query = select(columns.task, columns.kind, columns.verdict, columns.reasons, columns.facts, columns.at)
    query = query.order_by(columns.id.desc()).limit(limit)
    with engine.connect() as connection:
        return [
            Decision(*row) for row in connection.execute(query if task is None else query.where(columns.task == task))
        ]


def prune(engine: Engine, retention_days: float, now: float) -> int:
    """Delete each `no` about retraining that is older than `retention_days`; other decisions are kept for good. Return
    the number of deleted rows.
    """
    old = delete(decisions).where(
        decisions.c.kind == KIND, decisions.c.verdict == "no", decisions.c.at < now - retention_days * DAY
    )
    with engine.begin() as connection:
        first = select(func.min(decisions.c.id)).where(decisions.c.kind == KIND).group_by(decisions.c.task)
        return connection.execute(old.where(decisions.c.id.not_in(first))).rowcount  # schedules count from the first


def markdown(newest: list[Decision]) -> str:
    """Return decisions as a table in markdown."""
    lines = ["| time | task | kind | verdict | reasons |", "|---|---|---|---|---|"]
    for decision in newest:
        reasons = "<br>".join(str(reason).replace("|", "\\|").replace("\n", " ") for reason in decision.reasons)
        lines.append(f"| {_time(decision.at)} | {decision.task} | {decision.kind} | {decision.verdict} | {reasons} |")
    return "\n".join(lines) + "\n"


def show(task: str | None = None) -> None:
    """Print the newest decisions, oldest first, so that the newest stands next to the prompt."""
    from rich.console import Console
    from rich.table import Table

    engine = database.connect()
    rows = newest(engine, task)
    engine.dispose()
    if not rows:
        print(
            f"nothing has been decided{f' about {task}' if task else ''} yet: `make retrain` decides about "
            "retraining, a release about its canary."
        )
        return
    table = Table(
        title=f"the newest {len(rows)} decisions{f' about {task}' if task else ''}",
        title_justify="left",
        show_lines=True,
    )
    for header in ("time", "task", "kind", "verdict", "reasons"):
        table.add_column(header, overflow="fold", no_wrap=header == "time")
    for decision in reversed(rows):
        table.add_row(
            _time(decision.at), decision.task, decision.kind, decision.verdict, "\n".join(map(str, decision.reasons))
        )
    Console(highlight=False, markup=False).print(table)


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M:%S")


if __name__ == "__main__":
    sys.exit(stage.guarded(lambda: show(sys.argv[1] if len(sys.argv) > 1 else None)))
