"""POST /classify, in vLLM's form: texts in, classes out. Each text is a request of its own for the records, the
canary's coin and the rate limit.
"""

import asyncio

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from starlette.types import Receive

from tasks.dialogues.messages import CLASSIFY, logged
from tasks.serve.classified import entry, reply
from tasks.serve.gateway import body as bodies
from tasks.serve.gateway import shadow
from tasks.serve.gateway.errors import Refusal, bad
from tasks.serve.gateway.keys import Caller
from tasks.serve.gateway.proxy import Answered, answer
from tasks.serve.gateway.request import ModelRequest
from tasks.serve.gateway.state import GatewayState, authorize, state_of

router = APIRouter()
Classified = tuple[ModelRequest, Answered]
MOST = 256  # texts of one request
# Examples whose versions neither predict classes nor write.
DOES = {
    "tagged": "marks a text",
    "spans": "finds answers in a text",
    "scored": "returns numbers",
    "choice": "scores answers",
}


@router.post(CLASSIFY)
async def classify(request: Request) -> Response:
    """`{object, model, data: [{index, label, probs, num_classes, labels, request_id, version}], usage}`."""
    gateway = state_of(request)
    caller = authorize(request, gateway.keys, gateway.rate)
    model, texts = _read(bodies.parse(await bodies.read(request, gateway.settings.max_body_kib * 1024)))
    for _ in texts[1:]:
        gateway.rate.check(caller.id)
    answers = await asyncio.gather(*(_ask(gateway, caller, model, text, request.receive) for text in texts))
    for _, answered in answers:
        if answered.response.status_code != 200:
            return answered.response
    return JSONResponse(_reply(model, answers), headers=answers[0][0].headers if len(answers) == 1 else None)


def _read(body: bodies.Body) -> tuple[str, list[str]]:
    """(model, texts); Refusal 400 for anything else, including fields that would be ignored."""
    model, texts = body.get("model"), body.get("input")
    texts = [texts] if isinstance(texts, str) else texts
    if not isinstance(model, str):
        raise bad("`model` must be a text: a task, or a version of one.", "model")
    if not isinstance(texts, list) or not 1 <= len(texts) <= MOST:
        raise bad(f"`input` must be a text, or a list of 1 to {MOST} texts.", "input")
    if not all(isinstance(text, str) and text.strip() for text in texts):
        raise bad("`input` must be a text that is not empty, or a list of such texts.", "input")
    if unknown := [name for name in body if name not in ("model", "input", "user")]:
        raise bad(f"`{unknown[0][:40]}` is not a field of this route.", unknown[0][:40])
    return model, texts


async def _ask(gateway: GatewayState, caller: Caller, model: str, text: str, receive: Receive) -> Classified:
    """The answer to one text, by the version that `model` names now. Texts wait here for their turn, so that long lists
    do not fill the queue and are not refused half done.
    """
    body: bodies.Body = {"messages": [{"role": "user", "content": text}], "temperature": 0, "max_tokens": 1}
    async with gateway.text_slots:
        choice, contract = gateway.follower.choose(model)
        if contract is not None and contract.example == "image":
            raise bad(f"This model takes images, not text: use /tasks/{choice.task}.", "model")
        if contract is not None and contract.example != "labelled":
            where = f"/tasks/{choice.task} or /v1/chat/completions"
            raise bad(
                f"This model {DOES.get(contract.example, 'writes')} and predicts no classes: use {where}.", "model"
            )
        model_request = ModelRequest(
            choice, contract, CLASSIFY, caller.id, logged({"messages": body["messages"]}), body
        )
        answered = await answer(gateway, model_request, receive, lambda: shadow.start(gateway, model_request, body))
    if answered.response.status_code == 200 and not answered.reply.probabilities:
        raise Refusal(502, "backend_error", "The model's server returned no probabilities.")
    return model_request, answered


def _reply(model: str, answers: list[Classified]) -> dict[str, object]:
    """The reply, with the request id and the version of each text."""
    entries = [
        {
            **entry(answered.reply.probabilities or {}),
            "request_id": model_request.id,
            "version": model_request.choice.target.version,
        }
        for model_request, answered in answers
    ]
    return reply(model, entries, sum(answered.reply.prompt_tokens or 0 for _, answered in answers))
