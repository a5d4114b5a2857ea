"""OpenAI's API: chat, completions and the list of models, where `model` is a model's name, one of its versions, or
an alias.
"""

from fastapi import APIRouter, Request, Response

from tasks.dialogues.messages import logged
from tasks.serve import routes
from tasks.serve.gateway import body as bodies
from tasks.serve.gateway import body_fields, shadow
from tasks.serve.gateway.errors import model_not_found
from tasks.serve.gateway.proxy import answer
from tasks.serve.gateway.request import ModelRequest
from tasks.serve.gateway.state import authorize, state_of

router = APIRouter(prefix="/v1")


@router.post("/chat/completions")
async def chat(request: Request) -> Response:
    """Messages in, a message out, by the version that `model` names now."""
    return await _complete(request, is_chat=True)


@router.post("/completions")
async def completions(request: Request) -> Response:
    """A prompt in, its continuation out. A raw prompt need not ask the task, so the answer is not judged."""
    return await _complete(request, is_chat=False)


async def _complete(request: Request, is_chat: bool) -> Response:
    gateway = state_of(request)
    caller = authorize(request, gateway.keys, gateway.rate)
    sent = bodies.parse(await bodies.read(request, gateway.settings.max_body_kib * 1024))
    body = body_fields.check(sent, is_chat, gateway.settings.max_tokens)
    kept = logged(sent) if is_chat else {"prompt": sent["prompt"]}
    choice, contract = gateway.follower.choose(str(body["model"]))
    model_request = ModelRequest(choice, contract, request.url.path, caller.id, kept, body, is_judged=is_chat)
    return (
        await answer(gateway, model_request, request.receive, lambda: shadow.start(gateway, model_request, body))
    ).response


@router.get("/models")
async def models(request: Request) -> dict[str, object]:
    """The models: tasks, and their versions by alias."""
    gateway = state_of(request)
    authorize(request, gateway.keys, gateway.rate)
    return {"object": "list", "data": [_model(name) for name in routes.names(gateway.follower.table)]}


@router.get("/models/{name}")
async def model(request: Request, name: str) -> dict[str, object]:
    """One model."""
    gateway = state_of(request)
    authorize(request, gateway.keys, gateway.rate)
    if routes.resolve(gateway.follower.table, name, 1.0) is None:
        raise model_not_found()
    return _model(name)


def _model(name: str) -> dict[str, object]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "anneal"}
