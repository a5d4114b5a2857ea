"""OpenAI's API: chat, completions and the list of models, where a model is a task, a version of one, or an alias."""

from functools import partial

from fastapi import APIRouter, Request, Response

from tasks.messages import logged
from tasks.serve import routes
from tasks.serve.gateway import body as bodies
from tasks.serve.gateway import fields, shadow
from tasks.serve.gateway.door import door_of
from tasks.serve.gateway.errors import Refusal
from tasks.serve.gateway.proxy import answer

router = APIRouter(prefix="/v1")


@router.post("/chat/completions")
async def chat(request: Request) -> Response:
    """Messages in, a message out, by whoever answers to `model` now."""
    return await _complete(request, is_chat=True)


@router.post("/completions")
async def completions(request: Request) -> Response:
    """A prompt in, its continuation out. What a prompt is made of is the client's business, so the answer is not
    judged.
    """
    return await _complete(request, is_chat=False)


async def _complete(request: Request, is_chat: bool) -> Response:
    door = door_of(request)
    caller = door.caller(request)
    raw = await bodies.read(request, door.settings.max_body_kib * 1024)
    asked = bodies.parse(raw)
    body = fields.check(asked, is_chat, door.settings.max_tokens)
    given = logged(asked) if is_chat else {"prompt": asked["prompt"]}
    choice = door.follower.choose(body["model"])
    exchange = door.exchange(choice, request.url.path, caller, given, judged=is_chat)
    return await answer(
        door, exchange, body, request.receive, partial(shadow.start, door, exchange, body, choice.shadow)
    )


@router.get("/models")
async def models(request: Request) -> dict:
    """Who can be asked: tasks, and their versions by alias."""
    door = door_of(request)
    door.caller(request)
    return {"object": "list", "data": [_model(name) for name in routes.names(door.follower.table)]}


@router.get("/models/{name}")
async def model(request: Request, name: str) -> dict:
    """One of them."""
    door = door_of(request)
    door.caller(request)
    if routes.resolve(door.follower.table, name, 1.0) is None:
        raise Refusal(
            404, "model_not_found", "There is no such model here; GET /v1/models lists who can be asked.", "model"
        )
    return _model(name)


def _model(name: str) -> dict:
    return {"id": name, "object": "model", "created": 0, "owned_by": "anneal"}
