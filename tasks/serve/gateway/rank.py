"""POST /rank: a prompt and several answers in, their scores and order out, by a reward model. One version scores all of
them, since scores of two versions cannot be compared; it is one request for the canary, and one record.
"""

from collections.abc import Mapping, Sequence

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from tasks.dialogues import choices
from tasks.dialogues.messages import RANK, logged
from tasks.formats.contract import Contract
from tasks.serve.gateway import body as bodies
from tasks.serve.gateway import shadow
from tasks.serve.gateway.errors import Refusal, bad
from tasks.serve.gateway.proxy import answer
from tasks.serve.gateway.reply import Reply
from tasks.serve.gateway.request import ModelRequest
from tasks.serve.gateway.state import authorize, state_of
from tasks.texts import template
from tasks.texts.clean import clean, is_blank

router = APIRouter()
FIELDS = ("model", "prompt", "answers", "user")
ROLES = ("system", "user", "assistant")
Turns = list[dict[str, str]]


@router.post(RANK)
async def rank(request: Request) -> Response:
    """`{task, version, request_id, order, scores, probabilities}`, and `spreads` of an ensemble. `order` are the places
    (from 0) of the answers, the best first; the other lists follow the answers as they were sent.
    """
    gateway = state_of(request)
    caller = authorize(request, gateway.keys, gateway.rate)
    sent = bodies.parse(await bodies.read(request, gateway.settings.max_body_kib * 1024))
    model, prompt, answers = _read(sent)
    for _ in answers[1:]:
        gateway.rate.check(caller.id)
    choice, contract = gateway.follower.choose(model)
    if contract is None:
        reason = f"The folder of {choice.target.model} cannot be read; the gateway's log says why."
        raise Refusal(503, "not_ready", reason, wait=10)
    if contract.example != choices.EXAMPLE:
        raise bad(f"This model scores no answers: use /tasks/{choice.task} or /v1/chat/completions.", "model")
    messages = [*_turns(contract, prompt), *({"role": "assistant", "content": text} for text in answers)]
    body: bodies.Body = {"messages": messages, "temperature": 0, "max_tokens": 1}
    kept = _input(prompt, answers) or logged({"messages": messages})
    model_request = ModelRequest(choice, contract, RANK, caller.id, kept, body)
    answered = await answer(gateway, model_request, request.receive, lambda: shadow.start(gateway, model_request, body))
    if answered.response.status_code != 200:
        return answered.response
    named = {"task": choice.task, "version": choice.target.version, "request_id": model_request.id}
    return JSONResponse({**named, **_ranked(answered.reply, len(answers))}, headers=model_request.headers)


def _read(body: bodies.Body) -> tuple[str, str | Turns, list[str]]:
    """(model, prompt, answers), cleaned as in training; Refusal 400 for anything else, also for fields that would be
    ignored.
    """
    model, prompt, answers = body.get("model"), body.get("prompt"), body.get("answers")
    if not isinstance(model, str):
        raise bad("`model` must be a text: a task, or a version of one.", "model")
    if not isinstance(answers, list) or not 1 <= len(answers) <= choices.MOST or not _are_texts(answers):
        raise bad(f"`answers` must be a list of 1 to {choices.MOST} texts.", "answers")
    if unknown := [name for name in body if name not in FIELDS]:
        raise bad(f"`{unknown[0][:40]}` is not a field of this route.", unknown[0][:40])
    if isinstance(prompt, list):
        return model, [_turn(entry, place) for place, entry in enumerate(prompt)], list(map(clean, answers))
    if not isinstance(prompt, str) or is_blank(prompt):
        raise bad("`prompt` must be a text that is not empty, or the messages of a dialogue.", "prompt")
    return model, clean(prompt), list(map(clean, answers))


def _are_texts(values: Sequence[object]) -> bool:
    return all(isinstance(value, str) for value in values)


def _turn(entry: object, place: int) -> dict[str, str]:
    role = entry.get("role") if isinstance(entry, Mapping) else None
    text = entry.get("content") if isinstance(entry, Mapping) else None
    if role not in ROLES or not isinstance(text, str):
        raise bad(f"prompt[{place}] must be a text by one of these: {', '.join(ROLES)}.", f"prompt[{place}]")
    return {"role": str(role), "content": clean(text)}


def _turns(contract: Contract, prompt: str | Turns) -> Turns:
    """The messages of the prompt as in training: with the system message of all rows, unless it has one."""
    if isinstance(prompt, str):
        return template.messages(contract.system, contract.user, dict.fromkeys(contract.inputs, prompt))
    if not prompt or prompt[-1]["role"] != "user":
        raise bad("`prompt` must end with a message by the user.", "prompt")
    own = [{"role": "system", "content": contract.system}] if contract.system else []
    return prompt if prompt[0]["role"] == "system" else [*own, *prompt]


def _input(prompt: str | Turns, answers: Sequence[str]) -> dict[str, str] | None:
    """The columns of the request if it is what the version is evaluated on: two answers to one question."""
    if not isinstance(prompt, str) or len(answers) != len(choices.PAIR):
        return None
    return {"question": prompt, **dict(zip(choices.PAIR, answers, strict=True))}


def _ranked(reply: Reply, count: int) -> dict[str, list[float] | list[int]]:
    figures, shares = choices.figures(reply.text), (reply.probabilities or {}).get(choices.COLUMN, {})
    scores = figures.get("scores", [])
    if len(scores) != count or set(shares) != set(choices.places(count)):
        raise Refusal(502, "backend_error", "The model's server returned no scores.")
    order = sorted(range(count), key=lambda place: (-scores[place], place))
    return {"order": order, **figures, "probabilities": [shares[place] for place in choices.places(count)]}
