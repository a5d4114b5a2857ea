"""POST /tasks/{task}: a text in, the task's checked result out; the templates are the ones that the model was
trained with.
"""

from email.message import Message
from functools import partial

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from tasks.contract import Contract
from tasks.errors import AnnealError
from tasks.serve.gateway import body as bodies
from tasks.serve.gateway import pictures, shadow, spans
from tasks.serve.gateway.door import Door, door_of
from tasks.serve.gateway.errors import Refusal, bad
from tasks.serve.gateway.exchange import Exchange
from tasks.serve.gateway.proxy import answer
from tasks.serve.routes import Choice
from tasks.spans import probability_in

router = APIRouter()


@router.post("/tasks/{task}")
async def ask(request: Request, task: str) -> Response:
    """`{task, version, request_id, valid, result}`, and `probabilities` of a version that tells classes; of one that
    finds answers in a text, `result` is `{answer, start, end, probability}`. When the model's answer is not what it
    must be, `valid` is false and `text` has it as it is.
    """
    door = door_of(request)
    caller = door.caller(request)
    is_image, kind = pictures.is_asked(door, task), request.headers.get("content-type", "")
    raw = await bodies.read(request, pictures.limit(door, is_image))
    given = pictures.given(kind, raw, door.settings.max_image_kib) if is_image else _given(kind, raw)
    choice = door.follower.choose(task)
    row, body = _ready(door, choice, given)
    exchange = door.exchange(choice, "/tasks/{task}", caller, row)
    response = await answer(door, exchange, body, request.receive, partial(_shadow, door, exchange, choice, given))
    return response if response.status_code != 200 else JSONResponse(_result(exchange, given), headers=exchange.headers)


def _given(kind: str, raw: bytes) -> object:
    """The text, or the columns, of the body."""
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


def _ready(door: Door, choice: Choice, given: object) -> tuple[dict, dict]:
    """(the columns, the body for vLLM) as the chosen version wants them."""
    contract = door.follower.contract(choice.target)
    if contract is None:
        raise Refusal(
            503,
            "not_ready",
            f"The folder of {choice.target.model} cannot be read; the gateway's log says why.",
            wait=10,
        )
    return _filled(contract, given, door.settings.max_tokens)


def _filled(contract: Contract, given: object, max_tokens: int) -> tuple[dict, dict]:
    if isinstance(given, bytes) != pictures.sees(contract):
        raise bad("This version is asked about something else: one reads texts, one sees images.", "input")
    if isinstance(given, bytes):
        return pictures.row(given), pictures.body(given)
    try:
        row = contract.row(given)
    except AnnealError as error:
        raise bad(str(error), "input") from None
    try:
        asked = contract.question(row)
    except AnnealError:  # the sentence has the template in it, which is not the client's
        raise bad("The task's template cannot be filled in with this input.", "input") from None
    return row, {**asked, "temperature": 0, "max_tokens": max_tokens}


def _shadow(door: Door, exchange: Exchange, choice: Choice, given: object) -> None:
    """The shadow gets the same text in the words of its own template."""
    contract = door.follower.contract(choice.shadow) if choice.shadow else None
    if contract is None or isinstance(given, bytes) != pictures.sees(contract):
        return
    if not pictures.sees(contract) and set(contract.inputs) != set(exchange.given):
        return
    shadow.start(door, exchange, _filled(contract, given, door.settings.max_tokens)[1], choice.shadow)


def _result(exchange: Exchange, given: object) -> dict:
    valid, probability = bool(exchange.valid), probability_in(exchange.probabilities)
    result = {
        "task": exchange.task,
        "version": exchange.target.version,
        "request_id": exchange.id,
        "valid": valid,
        "result": exchange.told,
    }
    if probability is None:
        result |= {} if exchange.probabilities is None else {"probabilities": exchange.probabilities}
    elif valid and exchange.contract is not None:
        result["result"] = spans.result(exchange.contract, given, exchange.text, probability)
    return result if valid else {**result, "text": exchange.text}
