"""Retraining's rows in the records: decisions and retrainings written, commands consumed, checks and corrections
read.
"""

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
from tasks.retrain import facts
from tasks.retrain.decide import RetrainDecision
from tasks.retrain.facts import HOUR, WEEK, Figure, PastRetraining, RetrainFacts, RetrainOutcome

KIND = "retrain"
ACTIONS = ("retrain", "pause", "resume")
KILLED = RetrainOutcome(RetrainingState.KILLED, "killed: its process was gone")
MOST = 400  # characters of an outcome or a result


@dataclass(frozen=True)
class Correction:
    """What a person said that an answer should have been, with the request it belongs to."""

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


def corrections(engine: Engine, task: str) -> list[Correction]:
    """All corrections of the task's answers, oldest first. Thumbs, and what the model itself said, are not
    corrections.
    """
    query = select(
        feedback.c.request_id, feedback.c.id, feedback.c.at, feedback.c.key_id, feedback.c.correction,
        requests.c.at.label("requested_at"), requests.c.version, requests.c.template_sha256, requests.c.input,
        requests.c.path, requests.c.finish_reason,
    )  # fmt: skip
    query = (
        query.join(requests, requests.c.id == feedback.c.request_id)
        .where(requests.c.task == task)
        .order_by(feedback.c.id)
    )
    with engine.connect() as connection:
        rows = [tuple(row) for row in connection.execute(query)]
    return [Correction(*row) for row in rows if is_correction(row[4])]


def counted(corrections: Iterable[Correction]) -> dict[str, Correction]:
    """Request: the correction that counts."""
    given = {each.feedback_id: each for each in corrections}
    numbers = newest((each.request_id, each.feedback_id, each.correction) for each in given.values())
    return {request: given[number] for request, number in numbers.items()}


@dataclass(frozen=True)
class Command:
    """What a person asked for on the dashboard."""

    id: int
    task: str
    action: str
    key_id: str | None


def open_commands(engine: Engine, task: str | None = None) -> list[Command]:
    """Commands of retraining that nobody has carried out, oldest first."""
    query = select(commands.c.id, commands.c.task, commands.c.action, commands.c.key_id)
    query = query.where(commands.c.done_at.is_(None), commands.c.action.in_(ACTIONS)).order_by(commands.c.id)
    with engine.connect() as connection:
        rows = connection.execute(query if task is None else query.where(commands.c.task == task))
        return [Command(*row) for row in rows]


def ask(engine: Engine, task: str, action: str, key_id: str | None, now: float) -> None:
    """Write down what a person asks for."""
    with engine.begin() as connection:
        connection.execute(commands.insert().values(at=now, task=task, action=action, key_id=key_id))


def close_commands(engine: Engine, ids: list[int], state: CommandState, result: str, now: float) -> None:
    """Mark commands as answered, with what came of them."""
    with engine.begin() as connection:
        connection.execute(
            update(commands).where(commands.c.id.in_(ids)).values(done_at=now, state=state.value, result=result[:MOST])
        )


def newest_alarm(engine: Engine, task: str, version: str) -> tuple[str, ...] | None:
    """Why the newest check of a version with an alarm raised it; None where none did."""
    query = _checks(task, version).where(checks.c.alarm)
    with engine.connect() as connection:
        row = connection.execute(query).first()
    return tuple(row.reasons) if row else None


def newest_figures(engine: Engine, task: str, version: str) -> dict[str, Figure]:
    """The shares of the newest check of a version with the number of answers each was measured on: its own `…_n`, else
    the requests that were new to the check.
    """
    with engine.connect() as connection:
        row = connection.execute(_checks(task, version)).first()
    if row is None:
        return {}
    measured = row.figures
    shares = {
        name: value
        for name, value in measured.items()
        if isinstance(value, int | float) and 0 <= value <= 1 and not name.endswith("_n")
    }
    return {name: Figure(float(value), int(measured.get(f"{name}_n", row.requests))) for name, value in shares.items()}


def _checks(task: str, version: str) -> "Select[tuple[list[str], dict[str, float], int]]":
    """The newest check of a version."""
    return (
        select(checks.c.reasons, checks.c.figures, checks.c.requests)
        .where(checks.c.task == task, checks.c.version == version)
        .order_by(checks.c.at.desc(), checks.c.id.desc())
        .limit(1)
    )


def past(engine: Engine, task: str) -> tuple[PastRetraining, ...]:
    """The task's retrainings, newest first."""
    decided = select(decisions.c.at, decisions.c.facts).where(
        decisions.c.task == task, decisions.c.kind == KIND, decisions.c.verdict == "yes"
    )
    query = select(retrainings.c.started_at, retrainings.c.ended_at, retrainings.c.state)
    query = query.where(retrainings.c.task == task).order_by(retrainings.c.id.desc())
    with engine.connect() as connection:
        decided_on = {row.at: row.facts for row in connection.execute(decided)}
        rows = connection.execute(query).all()
    return tuple(facts.past(started, ended, state, decided_on.get(started, {})) for started, ended, state in rows)


def hours_elsewhere(engine: Engine, task: str, now: float) -> float:
    """Hours that other tasks' retrainings of the last week have taken."""
    query = select(retrainings.c.started_at, retrainings.c.ended_at).where(
        retrainings.c.task != task, retrainings.c.started_at > now - WEEK
    )
    with engine.connect() as connection:
        spans = [(now if ended is None else ended) - started for started, ended in connection.execute(query)]
    return float(sum(max(0.0, span) for span in spans)) / HOUR


def watched_since(engine: Engine, task: str) -> float:
    """The time of the first decision about the task; 0 before it."""
    of_task = (decisions.c.task == task, decisions.c.kind == KIND)
    query = select(decisions.c.at).where(*of_task).order_by(decisions.c.id).limit(1)
    with engine.connect() as connection:
        return float(connection.execute(query).scalar() or 0.0)


def write(engine: Engine, decision: RetrainDecision, known: RetrainFacts, now: float) -> int | None:
    """Write the decision down; the id of the retraining that a `yes` opens, in the same breath."""
    verdict = "yes" if decision.retrain else "no"
    recorded = {**known.plain(), "triggers": list(decision.triggers)}
    with engine.begin() as connection:
        connection.execute(
            decisions.insert().values(
                at=now, task=known.task, kind=KIND, verdict=verdict, reasons=list(decision.reasons), facts=recorded
            )
        )
        if not decision.retrain:
            return None
        opened = retrainings.insert().values(task=known.task, started_at=now, reasons=list(decision.reasons))
        key = connection.execute(opened).inserted_primary_key
        return int(key[0]) if key else None


def close(engine: Engine, retraining: int, outcome: RetrainOutcome, now: float) -> None:
    """End a retraining with what came of it."""
    with engine.begin() as connection:
        connection.execute(_ended(retraining, outcome, now))


def _ended(retraining: int, outcome: RetrainOutcome, at: float) -> Update:
    values = {"ended_at": at, "state": outcome.state and outcome.state.value, "outcome": outcome.words[:200]}
    return update(retrainings).where(retrainings.c.id == retraining).values(values)


def close_killed(engine: Engine, last_seen: float, now: float) -> int:
    """End retrainings that are open though nothing runs them (the lock is ours) at the moment when one was last seen
    alive; their number.
    """
    with engine.begin() as connection:
        open_ones = connection.execute(
            select(retrainings.c.id, retrainings.c.started_at).where(retrainings.c.ended_at.is_(None))
        ).all()
        for number, started in open_ones:
            connection.execute(_ended(number, KILLED, min(now, max(started, last_seen))))
    return len(open_ones)
