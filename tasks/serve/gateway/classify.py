"""POST /classify, in vLLM's form: texts in, the classes of each. Each text is a request of its own: in the records, for
the coin of the canary, and for the key's rate.
"""

import asyncio
import time
import uuid
from functools import partial

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from tasks.messages import CLASSIFY, logged
from tasks.serve.gateway import body as bodies
from tasks.serve.gateway import shadow
from tasks.serve.gateway.door import Door, door_of
from tasks.serve.gateway.errors import Refusal, bad
from tasks.serve.gateway.exchange import Exchange
from tasks.serve.gateway.keys import Caller
from tasks.serve.gateway.proxy import answer

router = APIRouter()
MOST = 256  # texts of one request
# What tells no classes and does not write.
DOES = {"tagged": "marks a text", "spans": "finds answers in a text", "scored": "tells numbers"}


@router.post(CLASSIFY)
async def classify(request: Request) -> Response:
    """`{object, model, data: [{index, label, probs, num_classes, labels, request_id, version}], usage}`."""
    door = door_of(request)
    caller = door.caller(request)
    model, texts = _read(bodies.parse(await bodies.read(request, door.settings.max_body_kib * 1024)))
    for _ in texts[1:]:
        door.rate.check(caller.id)
    asked = await asyncio.gather(*(_ask(door, caller, model, text, request) for text in texts))
    for response, _ in asked:
        if response.status_code != 200:
            return response
    exchanges = [exchange for _, exchange in asked]
    return JSONResponse(_reply(model, exchanges), headers=exchanges[0].headers if len(exchanges) == 1 else None)


def _read(body: bodies.Body) -> tuple[str, list[str]]:
    """(model, texts); Refusal 400 for what is neither, and for what else would go unheard."""
    model, given = body.get("model"), body.get("input")
    texts = [given] if isinstance(given, str) else given
    if not isinstance(model, str):
        raise bad("`model` must be a text: a task, or a version of one.", "model")
    if not isinstance(texts, list) or not 1 <= len(texts) <= MOST:
        raise bad(f"`input` must be a text, or a list of 1 to {MOST} texts.", "input")
    if not all(isinstance(text, str) and text.strip() for text in texts):
        raise bad("`input` must be a text that is not empty, or a list of such texts.", "input")
    if unknown := [name for name in body if name not in ("model", "input", "user")]:
        raise bad(f"`{unknown[0][:40]}` is not a field of this route.", unknown[0][:40])
    return model, texts


async def _ask(door: Door, caller: Caller, model: str, text: str, request: Request) -> tuple[Response, Exchange]:
    """The answer about one text, by whoever answers to `model` now. Texts wait here for their turn, so that long lists
    fill no queue and are not refused half done.
    """
    body: bodies.Body = {"messages": [{"role": "user", "content": text}], "temperature": 0, "max_tokens": 1}
    async with door.turns:
        choice = door.follower.choose(model)
        contract = door.follower.contract(choice.target)
        if contract is not None and contract.example == "image":
            raise bad(f"This model sees images and reads no text: ask /tasks/{choice.task}.", "model")
        if contract is not None and contract.example != "labelled":
            where = f"/tasks/{choice.task} or /v1/chat/completions"
            raise bad(f"This model {DOES.get(contract.example, 'writes')} and tells no classes: ask {where}.", "model")
        exchange = door.exchange(choice, CLASSIFY, caller, logged({"messages": body["messages"]}))
        after = partial(shadow.start, door, exchange, body, choice.shadow)
        response = await answer(door, exchange, body, request.receive, after)
    if response.status_code == 200 and not exchange.probabilities:
        raise Refusal(502, "backend_error", "The model's server said no probabilities.")
    return response, exchange


def _reply(model: str, exchanges: list[Exchange]) -> dict[str, object]:
    tokens = sum(exchange.usage.get("prompt_tokens") or 0 for exchange in exchanges)
    return {
        "id": f"classify-{uuid.uuid4().hex}",
        "object": "list",
        "created": int(time.time()),
        "model": model,
        "data": [{"index": place, **_entry(exchange)} for place, exchange in enumerate(exchanges)],
        "usage": {"prompt_tokens": tokens, "completion_tokens": 0, "total_tokens": tokens},
    }


def _entry(exchange: Exchange) -> dict[str, object]:
    """What the records have of a text; `label` and `probs` are of the first column."""
    told = exchange.probabilities or {}
    labels = {column: max(shares, key=shares.__getitem__) for column, shares in told.items()}
    column, label = next(iter(labels.items()))
    return {
        "label": label,
        "probs": list(told[column].values()),
        "num_classes": len(told[column]),
        "labels": {name: {"label": labels[name], "probabilities": told[name]} for name in told},
        "request_id": exchange.id,
        "version": exchange.target.version,
    }
