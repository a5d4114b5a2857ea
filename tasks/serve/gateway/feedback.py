"""People's feedback on answers (/feedback) and commands to the reconciler and retraining (/admin/commands)."""

import time
from collections.abc import Callable, Mapping
from typing import Annotated, Literal, TypeVar

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy import Table, insert, select

from tasks.records.database import commands, feedback
from tasks.serve.gateway import body as bodies
from tasks.serve.gateway.errors import Refusal
from tasks.serve.gateway.follow import Follower
from tasks.serve.gateway.keys import Caller
from tasks.serve.gateway.state import GatewayState, authorize, state_of
from tasks.serve.gateway.writer import TROUBLE, RecordWriter, Row, storable_text
from tasks.texts.clean import clean
from tasks.texts.redaction.answers import redact_text

router = APIRouter()
T = TypeVar("T")
BodyModel = TypeVar("BodyModel", bound=BaseModel)
Name = Annotated[str, Field(min_length=1, max_length=64)]


class Opinion(BaseModel):
    """The body of POST /feedback."""

    model_config = ConfigDict(extra="forbid", strict=True)
    request_id: Name
    thumb: Literal["up", "down"] | None = None
    correction: dict[str, str | int | float | list[dict[str, object]]] | None = None  # as `result` has it; or calls


class Command(BaseModel):
    """The body of POST /admin/commands."""

    model_config = ConfigDict(extra="forbid", strict=True)
    task: Name
    action: Literal["promote", "rollback", "retrain", "pause", "resume"]


@router.post("/feedback", status_code=201)
async def give_feedback(request: Request) -> dict[str, object]:
    """Keep a thumb, a corrected answer, or both, about a request of the same key; an admin's key may do so for
    any.
    """
    gateway = state_of(request)
    caller = authorize(request, gateway.keys, gateway.rate)
    opinion = await _body(request, gateway, Opinion)
    if opinion.thumb is None and opinion.correction is None:
        raise Refusal(422, "invalid_value", "Send a thumb, a correction, or both.")
    return {"id": await _stored(lambda: _keep(gateway.writer, gateway.follower, caller, opinion))}


@router.post("/admin/commands", status_code=202)
async def command(request: Request) -> dict[str, object]:
    """Ask for a promotion, a rollback, a retraining, a pause or its end; the reconciler or the retraining flow carries
    it out.
    """
    gateway = state_of(request)
    caller = authorize(request, gateway.keys, gateway.rate, admin=True)
    sent = await _body(request, gateway, Command)
    if sent.task not in gateway.follower.table.tasks:
        raise Refusal(404, "task_not_found", "There is no such task here.", "task")
    row = {"at": time.time(), "task": sent.task, "action": sent.action, "key_id": caller.id}
    number = await _stored(lambda: _insert(gateway.writer, commands, row))
    return {"id": number, "task": sent.task, "action": sent.action}


@router.get("/admin/commands/{number}")
async def outcome(request: Request, number: int) -> Row:
    """The state of a command: `done_at` and `result` are null until it has been carried out."""
    gateway = state_of(request)
    authorize(request, gateway.keys, gateway.rate, admin=True)
    row = await _stored(lambda: _read(gateway.writer, number)) if number < 2**63 else None
    if row is None:
        raise Refusal(404, "command_not_found", "There is no such command.")
    return row


async def _body(request: Request, gateway: GatewayState, shape: type[BodyModel]) -> BodyModel:
    value = bodies.parse(await bodies.read(request, gateway.settings.max_body_kib * 1024))
    try:
        return shape.model_validate(value)
    except ValidationError as error:
        mistake = error.errors(include_input=False, include_url=False)[0]
        # For a value that may have several types, pydantic's location ends in the type that it tried.
        where = ".".join(map(str, mistake["loc"][:2]))[:80]
        raise Refusal(422, "invalid_value", f"`{where}`: {mistake['msg'].lower()}.", where) from None


async def _stored(work: Callable[[], T]) -> T:
    """The result of `work` on the database, in a thread; Refusal 503 if that is away, so that no label gets lost
    unnoticed.
    """
    try:
        return await run_in_threadpool(work)
    except TROUBLE:
        raise Refusal(
            503, "records_unavailable", "The records do not answer; nothing was kept. Try again later.", wait=10
        ) from None


def _keep(writer: RecordWriter, follower: Follower, caller: Caller, opinion: Opinion) -> int:
    asker = writer.find(opinion.request_id)
    # Another key's request is refused like an unknown one, so that ids cannot be probed.
    if asker is None or (asker.key_id != caller.id and not caller.admin):
        raise Refusal(
            404,
            "request_not_found",
            "No request of this key has this id, or it was not kept (records.sample, records.retention_days).",
            "request_id",
        )
    correction = None if opinion.correction is None else _checked(follower, asker.task, opinion.correction)
    thumb = {"up": 1, "down": -1, None: None}[opinion.thumb]
    row = {"request_id": opinion.request_id, "key_id": caller.id, "thumb": thumb, "correction": correction}
    return _insert(writer, feedback, {"at": time.time(), **row})


def _checked(follower: Follower, task: str, answer: Mapping[str, object]) -> dict[str, str]:
    """A correction as it is kept: it becomes a label, so it must be a whole answer of the task, with labels of known
    classes.
    """
    targets = follower.table.tasks[task].targets if task in follower.table.tasks else {}
    contract = follower.contract(targets["champion"]) if "champion" in targets else None
    if contract is None:
        raise Refusal(
            503,
            "not_ready",
            "The task has no champion yet, so corrections cannot be checked; try again later.",
            wait=10,
        )
    correction = contract.as_texts(answer)
    if problem := contract.problem(correction):
        raise Refusal(
            422, "invalid_correction", f"The correction is not an answer of this task: {problem[:400]}.", "correction"
        )
    return {
        column: storable_text(redact_text(clean(str(text)), contract.calls_tools))
        for column, text in correction.items()
    }


def _insert(writer: RecordWriter, table: Table, row: Row) -> int:
    with writer.engine().begin() as connection:
        return int(connection.execute(insert(table).returning(table.c.id), row).scalar_one())


def _read(writer: RecordWriter, number: int) -> Row | None:
    with writer.engine().connect() as connection:
        row = connection.execute(select(commands).where(commands.c.id == number)).mappings().first()
    return dict(row) if row else None
