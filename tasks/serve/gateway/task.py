"""POST /tasks/{task}: a text in, a validated result out, with the templates that the model was trained with."""

from email.message import Message

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from tasks.dialogues import choices
from tasks.dialogues.messages import TASKS
from tasks.errors import AnnealError
from tasks.formats.contract import Contract
from tasks.formats.spans import probability_in
from tasks.serve.gateway import body as bodies
from tasks.serve.gateway import pictures, shadow, spans
from tasks.serve.gateway.errors import Refusal, bad
from tasks.serve.gateway.proxy import Answered, answer
from tasks.serve.gateway.request import ModelRequest
from tasks.serve.gateway.state import GatewayState, authorize, state_of

router = APIRouter()


@router.post(TASKS)
async def ask(request: Request, task: str) -> Response:
    """`{task, version, request_id, valid, result}`, and `probabilities` of a version that predicts classes; of one that
    finds answers in a text, `result` is `{answer, start, end, probability}`. If the model's answer does not fit
    the task, `valid` is false and `text` is the answer.
    """
    gateway = state_of(request)
    caller = authorize(request, gateway.keys, gateway.rate)
    is_image, kind = pictures.task_takes_images(gateway.follower, task), request.headers.get("content-type", "")
    raw = await bodies.read(request, pictures.limit(gateway.settings, is_image))
    content = pictures.image_in(kind, raw, gateway.settings.max_image_kib) if is_image else _parsed_input(kind, raw)
    choice, contract = gateway.follower.choose(task)
    if contract is None:
        reason = f"The folder of {choice.target.model} cannot be read; the gateway's log says why."
        raise Refusal(503, "not_ready", reason, wait=10)
    row, body = _filled(contract, content, gateway.settings.max_tokens)
    model_request = ModelRequest(choice, contract, TASKS, caller.id, row, body)
    answered = await answer(gateway, model_request, request.receive, lambda: _shadow(gateway, model_request, content))
    if answered.response.status_code != 200:
        return answered.response
    return JSONResponse(_result(model_request, contract, answered, content), headers=model_request.headers)


def _parsed_input(kind: str, raw: bytes) -> object:
    """The text, or the columns, in the body."""
    header = Message()
    header["content-type"] = kind
    kind = kind.partition(";")[0].strip().lower()
    if kind in ("text/plain", ""):
        return bodies.text(raw, str(header.get_content_charset("utf-8")))
    if kind != "application/json":
        raise Refusal(
            415,
            "unsupported_media_type",
            'Send text/plain, or application/json with {"text": …} or {"input": {column: text}}.',
        )
    value = bodies.parse(raw)
    if len(value) != 1 or not value.keys() & {"text", "input"}:
        raise bad('The body must be {"text": …} or {"input": {column: text}}, and nothing else.')
    if "text" in value and not isinstance(value["text"], str):
        raise bad("`text` must be a text.", "text")
    if "input" in value and not isinstance(value["input"], dict):
        raise bad("`input` must be an object of texts.", "input")
    return value.get("text", value.get("input"))


def _filled(contract: Contract, content: object, max_tokens: int) -> tuple[dict[str, str], bodies.Body]:
    """(the columns, the body for the server) for a version with this contract."""
    if isinstance(content, bytes) != pictures.takes_images(contract):
        raise bad("This version takes another kind of input: some versions read texts, others images.", "input")
    if isinstance(content, bytes):
        return pictures.row(content), pictures.body(content)
    try:
        row = contract.row(content)
    except AnnealError as error:
        raise bad(str(error), "input") from None
    try:
        question = contract.question(row)
    except AnnealError:  # its message quotes the template, which clients must not see
        raise bad("The task's template cannot be filled in with this input.", "input") from None
    return row, {**question, "temperature": 0, "max_tokens": max_tokens}


def _shadow(gateway: GatewayState, model_request: ModelRequest, content: object) -> None:
    """Ask the shadow about the same input with its own template; dropped if that cannot be filled in."""
    contract = gateway.follower.contract(model_request.choice.shadow) if model_request.choice.shadow else None
    if contract is None or isinstance(content, bytes) != pictures.takes_images(contract):
        return
    if not pictures.takes_images(contract) and set(contract.inputs) != set(model_request.input):
        return
    try:
        _, body = _filled(contract, content, gateway.settings.max_tokens)
    except Refusal:
        gateway.metrics.refused.labels(shadow.DROPPED).inc()
    else:
        shadow.start(gateway, model_request, body)


def _result(model_request: ModelRequest, contract: Contract, answered: Answered, content: object) -> dict[str, object]:
    judgement, reply = answered.judgement, answered.reply
    valid, probability = bool(judgement.valid), probability_in(reply.probabilities)
    result: dict[str, object] = {
        "task": model_request.choice.task,
        "version": model_request.choice.target.version,
        "request_id": model_request.id,
        "valid": valid,
        "result": None if judgement.result is None else contract.result(judgement.result),
    }
    if probability is None:
        result |= {} if reply.probabilities is None else {"probabilities": reply.probabilities}
    elif valid:
        result["result"] = spans.result(contract, content, reply.text, probability)
    if valid and contract.example == choices.EXAMPLE:
        result |= choices.figures(reply.text)
    return result if valid else {**result, "text": reply.text}
