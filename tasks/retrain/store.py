"""Retraining's rows in the records: writes decisions and retrainings, closes commands, reads checks and corrections."""

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Engine, Select, Update, select, update

from tasks.records.corrections import is_correction, newest
from tasks.records.database import (
    CommandState,
    RetrainingState,
    checks,
    commands,
    decisions,
    feedback,
    requests,
    retrainings,
)
from tasks.records.database_rows import Input
from tasks.retrain.decide import RetrainDecision
from tasks.retrain.facts import HOUR, WEEK, Figure, PastRetraining, RetrainFacts, RetrainOutcome, past_retraining

KIND = "retrain"
ACTIONS = ("retrain", "pause", "resume")
KILLED = RetrainOutcome(RetrainingState.KILLED, "killed: its process was gone")
MAX_RESULT = 400  # characters of a command's result


@dataclass(frozen=True)
class Correction:
    """The right answer that a person gave, with the request it belongs to."""

    request_id: str
    feedback_id: int
    at: float  # of the correction
    key_id: str | None
    correction: Input
    requested_at: float
    version: str | None
    template_sha256: str | None
    input: Input | None
    path: str | None = None
    finish_reason: str | None = None
    output: str | None = None


def corrections(engine: Engine, task: str) -> list[Correction]:
    """Return all corrections of the task's answers, oldest first. Thumbs and the model's own answers are not
    corrections.
    """
    query = select(
        feedback.c.request_id, feedback.c.id, feedback.c.at, feedback.c.key_id, feedback.c.correction,
        requests.c.at.label("requested_at"), requests.c.version, requests.c.template_sha256, requests.c.input,
        requests.c.path, requests.c.finish_reason, requests.c.output,
    )  # fmt: skip
    query = (
        query.join(requests, requests.c.id == feedback.c.request_id)
        .where(requests.c.task == task)
        .order_by(feedback.c.id)
    )
    with engine.connect() as connection:
        rows = [tuple(row) for row in connection.execute(query)]
    return [Correction(*row) for row in rows if is_correction(row[4])]


def newest_by_request(corrections: Iterable[Correction]) -> dict[str, Correction]:
    """Return, by request, the newest correction, which is the one that counts."""
    by_id = {row.feedback_id: row for row in corrections}
    ids = newest((row.request_id, row.feedback_id, row.correction) for row in by_id.values())
    return {request: by_id[number] for request, number in ids.items()}


@dataclass(frozen=True)
class Command:
    """A command that a person gave on the dashboard or the command line."""

    id: int
    task: str
    action: str
    key_id: str | None


def open_commands(engine: Engine, task: str | None = None) -> list[Command]:
    """Return the commands of retraining that are not carried out yet, oldest first."""
    query = select(commands.c.id, commands.c.task, commands.c.action, commands.c.key_id)
    query = query.where(commands.c.done_at.is_(None), commands.c.action.in_(ACTIONS)).order_by(commands.c.id)
    with engine.connect() as connection:
        rows = connection.execute(query if task is None else query.where(commands.c.task == task))
        return [Command(*row) for row in rows]


def add_command(engine: Engine, task: str, action: str, key_id: str | None, now: float) -> None:
    """Write a person's command to the records."""
    with engine.begin() as connection:
        connection.execute(commands.insert().values(at=now, task=task, action=action, key_id=key_id))


def close_commands(engine: Engine, ids: list[int], state: CommandState, result: str, now: float) -> None:
    """Mark commands as done, with their result."""
    with engine.begin() as connection:
        connection.execute(
            update(commands)
            .where(commands.c.id.in_(ids))
            .values(done_at=now, state=state.value, result=result[:MAX_RESULT])
        )


def newest_alarm(engine: Engine, task: str, version: str) -> tuple[str, ...] | None:
    """Return the reasons of a version's newest alarm; None if no check raised one."""
    query = _checks(task, version).where(checks.c.alarm)
    with engine.connect() as connection:
        row = connection.execute(query).first()
    return tuple(row.reasons) if row else None


def newest_figures(engine: Engine, task: str, version: str) -> dict[str, Figure]:
    """Return the shares of a version's newest check, each with the number of answers it was measured on: its own `…_n`,
    else the number of requests that were new to the check.
    """
    with engine.connect() as connection:
        row = connection.execute(_checks(task, version)).first()
    if row is None:
        return {}
    figures = row.figures
    shares = {
        name: value
        for name, value in figures.items()
        if isinstance(value, int | float) and 0 <= value <= 1 and not name.endswith("_n")
    }
    return {name: Figure(float(value), int(figures.get(f"{name}_n", row.requests))) for name, value in shares.items()}


def _checks(task: str, version: str) -> "Select[tuple[list[str], dict[str, float], int]]":
    """Return the query of a version's newest check."""
    return (
        select(checks.c.reasons, checks.c.figures, checks.c.requests)
        .where(checks.c.task == task, checks.c.version == version)
        .order_by(checks.c.at.desc(), checks.c.id.desc())
        .limit(1)
    )


def past_retrainings(engine: Engine, task: str) -> tuple[PastRetraining, ...]:
    """Return the task's retrainings, newest first."""
    decided = select(decisions.c.at, decisions.c.facts).where(
        decisions.c.task == task, decisions.c.kind == KIND, decisions.c.verdict == "yes"
    )
    query = select(retrainings.c.started_at, retrainings.c.ended_at, retrainings.c.state)
    query = query.where(retrainings.c.task == task).order_by(retrainings.c.id.desc())
    with engine.connect() as connection:
        decided_on = {row.at: row.facts for row in connection.execute(decided)}
        rows = connection.execute(query).all()
    return tuple(past_retraining(started, ended, state, decided_on.get(started, {})) for started, ended, state in rows)


def hours_elsewhere(engine: Engine, task: str, now: float) -> float:
    """Return the hours of the last week's retrainings of other tasks."""
    query = select(retrainings.c.started_at, retrainings.c.ended_at).where(
        retrainings.c.task != task, retrainings.c.started_at > now - WEEK
    )
    with engine.connect() as connection:
        spans = [(now if ended is None else ended) - started for started, ended in connection.execute(query)]
    return float(sum(max(0.0, span) for span in spans)) / HOUR


def watched_since(engine: Engine, task: str) -> float:
    """Return the time of the first decision about the task; 0 if there is none."""
    of_task = (decisions.c.task == task, decisions.c.kind == KIND)
    query = select(decisions.c.at).where(*of_task).order_by(decisions.c.id).limit(1)
    with engine.connect() as connection:
        return float(connection.execute(query).scalar() or 0.0)


def write_decision(engine: Engine, decision: RetrainDecision, facts: RetrainFacts, now: float) -> int | None:
    """Write the decision and, for a `yes`, open the retraining in the same transaction; return the retraining's id."""
    verdict = "yes" if decision.retrain else "no"
    recorded = {**facts.plain(), "triggers": list(decision.triggers)}
    with engine.begin() as connection:
        connection.execute(
            decisions.insert().values(
                at=now, task=facts.task, kind=KIND, verdict=verdict, reasons=list(decision.reasons), facts=recorded
            )
        )
        if not decision.retrain:
            return None
        opened = retrainings.insert().values(task=facts.task, started_at=now, reasons=list(decision.reasons))
        key = connection.execute(opened).inserted_primary_key
        return int(key[0]) if key else None


def close_retraining(engine: Engine, retraining: int, outcome: RetrainOutcome, now: float) -> None:
    """Close a retraining with its outcome."""
    with engine.begin() as connection:
        connection.execute(_ended(retraining, outcome, now))


def _ended(retraining: int, outcome: RetrainOutcome, at: float) -> Update:
    values = {"ended_at": at, "state": outcome.state and outcome.state.value, "outcome": outcome.words[:200]}
    return update(retrainings).where(retrainings.c.id == retraining).values(values)


def close_killed(engine: Engine, last_seen: float, now: float) -> int:
    """Close retrainings that are open though nothing runs them (the caller holds the lock), at the time when one was
    last seen alive. Return their number.
    """
    with engine.begin() as connection:
        open_ones = connection.execute(
            select(retrainings.c.id, retrainings.c.started_at).where(retrainings.c.ended_at.is_(None))
        ).all()
        for number, started in open_ones:
            connection.execute(_ended(number, KILLED, min(now, max(started, last_seen))))
    return len(open_ones)
