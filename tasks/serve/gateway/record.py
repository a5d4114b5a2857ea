"""What is kept of a request: whether its answer is valid, and its record for the metrics, the log and the database."""

import time
from collections.abc import Mapping
from dataclasses import dataclass

from tasks.dialogues.messages import Kind, is_own_answer, kind_of
from tasks.formats.contract import Contract
from tasks.serve.gateway.calls import Output, as_text
from tasks.serve.gateway.errors import Refusal
from tasks.serve.gateway.reply import Ending, Probabilities, Reply
from tasks.serve.gateway.request import ModelRequest


@dataclass(frozen=True)
class Judgement:
    """`valid` is None for a request that does not ask the task, and for one without an answer."""

    valid: bool | None = None
    result: dict[str, str] | None = None  # {column: text} of a valid answer


NOT_JUDGED = Judgement()


def judge(request: ModelRequest, ending: Ending) -> Judgement:
    """Check the answer against the contract of its version.

    A chat that does not follow the template is judged too; the monitor, which compares questions, leaves it out.
    """
    is_answer = ending.status == 200 and not (ending.error or ending.reply.error)
    contract = request.contract
    if not is_answer or contract is None or not _asks_the_task(request, contract, ending.reply):
        return NOT_JUDGED
    result = contract.check(as_text(ending.reply.output))
    return Judgement(result is not None, result)


def _asks_the_task(request: ModelRequest, contract: Contract, reply: Reply) -> bool:
    if not request.is_judged or (reply.has_calls and not contract.calls_tools):
        return False
    form = {"system": contract.system, "user": contract.user, "tools": contract.calls_tools}
    kind = kind_of(request.input, form, request.path, reply.finish_reason)
    return kind in (Kind.TASK, Kind.FORM) and not is_own_answer(request.input, reply.finish_reason)


@dataclass(frozen=True, kw_only=True)
class Record:
    """A row of database.requests before redaction. Without a task it is a request that was refused before a version was
    chosen: a line of the log that the database does not keep.
    """

    id: str
    at: float
    task: str | None = None
    version: str | None = None
    artifact: str | None = None
    role: str | None = None
    shadow_of: str | None = None
    template_sha256: str | None = None
    key_id: str | None = None
    path: str | None = None
    status: int
    error: str | None = None
    latency: float | None = None
    first_token: float | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    finish_reason: str | None = None
    valid: bool | None = None
    input: Mapping[str, object] | None = None
    output: Output = ""
    probabilities: Probabilities | None = None


def of_answer(request: ModelRequest, ending: Ending, judgement: Judgement, latency: float) -> Record:
    """The record of a request for which a version was chosen."""
    choice, reply = request.choice, ending.reply
    return Record(
        id=request.id,
        at=request.at,
        task=choice.task,
        version=choice.target.version,
        artifact=choice.target.artifact,
        role=choice.role,
        shadow_of=request.shadow_of,
        template_sha256=request.contract.template_sha256 if request.contract else None,
        key_id=request.key_id,
        path=request.path,
        status=ending.status,
        error=ending.error or reply.error,
        latency=latency,
        first_token=ending.first_token,
        prompt_tokens=reply.prompt_tokens,
        completion_tokens=reply.completion_tokens,
        finish_reason=reply.finish_reason,
        valid=judgement.valid,
        input=request.input,
        output=reply.output,
        probabilities=reply.probabilities,
    )


def of_refusal(refusal: Refusal, request_id: str, path: str, key_id: str | None) -> Record:
    """The record of a request that was refused before a version was chosen to answer it."""
    return Record(id=request_id, at=time.time(), key_id=key_id, path=path, status=refusal.status, error=refusal.code)
