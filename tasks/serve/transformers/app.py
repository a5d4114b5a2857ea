"""The server as an application: health, models, chat, completions, and loading of versions while it runs."""

import asyncio
import json
import logging
import threading
from collections.abc import AsyncIterator, Sequence, Sized
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse, StreamingResponse
from starlette.exceptions import HTTPException

from tasks.errors import AnnealError
from tasks.serve.gateway import body as bodies
from tasks.serve.gateway.errors import CLIENT_LEFT, Refusal, bad, of_http
from tasks.serve.transformers import completion_request, labelling
from tasks.serve.transformers.completion_request import CompletionRequest
from tasks.serve.transformers.model import WritingModel
from tasks.serve.transformers.reading import Prediction, ReadingModel
from tasks.serve.transformers.replies import Reply
from tasks.serve.transformers.worker import Worker
from tasks.serve.transformers.writing import Answer
from tasks.texts.images import NotAnImageError

log = logging.getLogger("anneal.serve")
FAILED = Refusal(500, "internal_error", "The model's server failed; its log says how.")
Event = tuple[int, str, tuple[int, ...]]  # choice, text, tokens
DECODERS = 4  # images at once
MOST_BYTES = 64 << 20  # of a body; the gateway's limit is for clients, this one for its mistakes


def create_app(worker: Worker) -> FastAPI:
    """The application on `worker`; for this machine only: anyone may load versions, as in vLLM."""
    app = FastAPI(title="Anneal on transformers", openapi_url=None, docs_url=None, redoc_url=None)
    app.state.worker, app.state.decoding = worker, asyncio.Semaphore(DECODERS)
    for path, handler in {"/health": health, "/metrics": metrics, "/v1/models": models}.items():
        app.add_api_route(path, handler, methods=["GET"])
    for path, handler in {
        "/classify": classify,
        "/v1/chat/completions": chat,
        "/v1/completions": completions,
        "/v1/load_lora_adapter": load,
        "/v1/unload_lora_adapter": unload,
    }.items():
        app.add_api_route(path, handler, methods=["POST"])
    app.add_exception_handler(HTTPException, lambda _, error: of_http(error).response())
    app.add_exception_handler(Refusal, lambda _, error: error.response())
    app.add_exception_handler(Exception, lambda _, error: FAILED.response())
    return app


async def health(request: Request) -> Response:
    """200 while requests are answered."""
    return Response(status_code=200 if _worker(request).is_alive else 503)


async def metrics(request: Request) -> Response:
    """How many requests run and wait, for Prometheus and for the reconciler, which stops idle servers."""
    worker = _worker(request)
    return PlainTextResponse(
        f"anneal:num_requests_running {worker.running}\nanneal:num_requests_waiting {worker.waiting}\n"
    )


async def models(request: Request) -> dict[str, Any]:
    """The loaded versions."""
    worker = _worker(request)
    fields = {"object": "model", "created": 0, "owned_by": "anneal", "max_model_len": worker.max_model_len}
    return {"object": "list", "data": [{"id": name, **fields} for name in list(worker.served)]}


async def load(request: Request) -> Response:
    """Load a version from a folder of this machine under a name; if the name is taken, answer in vLLM's words."""
    body, worker = await _body(request), _worker(request)
    name, folder = str(body.get("lora_name", "")), Path(str(body.get("lora_path", "")))
    if name in worker.served:
        raise bad(f"{name} has already been loaded.", "lora_name")
    if not name or not folder.is_dir():
        raise bad("`lora_name` must be a name and `lora_path` a folder.", "lora_path")
    try:
        await asyncio.wrap_future(worker.load(name, folder))
    except AnnealError as error:
        raise bad(str(error), "lora_path") from None
    return PlainTextResponse(f"Success: {name} loaded.")


async def unload(request: Request) -> Response:
    """Unload a version; requests for it that came earlier are still answered."""
    name = str((await _body(request)).get("lora_name", ""))
    if _worker(request).served.pop(name, None) is None:
        raise Refusal(404, "model_not_found", f"{name} cannot be found.", "lora_name")
    return PlainTextResponse(f"Success: {name} unloaded.")


async def chat(request: Request) -> Response:
    """Messages in, a message out."""
    return await _complete(request, is_chat=True)


async def completions(request: Request) -> Response:
    """A prompt, as text or token ids, and its continuation."""
    return await _complete(request, is_chat=False)


async def classify(request: Request) -> Response:
    """Texts in, the class of each and how probable each class is, as in vLLM."""
    body, worker = labelling.read(await _body(request)), _worker(request)
    served = _served(worker, body.model)
    if not isinstance(served, ReadingModel):
        raise bad("This model writes and predicts no classes: use /v1/chat/completions.", "model")
    if served.sees:
        raise bad(f"This model takes images, not text: use {labelling.IMAGE_USAGE}", "model")
    if served.objective.head != "classes":
        does = labelling.DOES[served.objective.head]
        raise bad(f"This model {does} and predicts no classes: use /v1/chat/completions.", "model")
    predictions = await _predictions(request, worker, served, body.texts)
    if predictions is None:
        return Response(status_code=CLIENT_LEFT)
    return JSONResponse(labelling.reply(body.model, predictions))


async def _predictions(
    request: Request, worker: Worker, served: ReadingModel, texts: Sequence[str | Sized]
) -> list[Prediction] | None:
    """A prediction for each of `texts`; None if the client hung up first."""
    predictions = asyncio.gather(*map(asyncio.wrap_future, worker.read(served, texts)))
    if await _waits(request, predictions, threading.Event()):
        return predictions.result()
    predictions.cancel()
    return None


async def _image(request: Request, served: ReadingModel, completion: CompletionRequest) -> Sized:
    """The image in a chat; Refusal 400 if there is none. Few are decoded at once: one may be large."""
    raw = labelling.image_of_chat(completion)
    async with request.app.state.decoding:
        try:
            return await asyncio.to_thread(served.decode, raw)
        except NotAnImageError as error:
            raise bad(f"The image {error}.", "image", "invalid_image") from None


async def _label(request: Request, worker: Worker, served: ReadingModel, completion: CompletionRequest) -> Response:
    """The answer to a chat by a model that predicts: its labels as JSON, and the probability of each class."""
    example: str | Sized
    if served.sees:
        example = await _image(request, served, completion)
    else:
        example = labelling.example_of_chat(completion, served.objective.head)
    predictions = await _predictions(request, worker, served, [example])
    if predictions is None:
        return Response(status_code=CLIENT_LEFT)
    [prediction] = predictions
    reply = Reply(completion, [list(prediction.token_ids)])
    answers = [Answer((), prediction.text, "stop", prediction.probabilities)] * completion.choices
    if not completion.stream:
        return JSONResponse(reply.whole(answers))
    done: asyncio.Future[list[Answer]] = asyncio.get_running_loop().create_future()
    done.set_result(answers)
    events: asyncio.Queue[Event | None] = asyncio.Queue()
    for event in [*((place, answer.text, ()) for place, answer in enumerate(answers)), None]:
        events.put_nowait(event)
    return StreamingResponse(_stream(reply, events, done, threading.Event()), media_type="text/event-stream")


def _served(worker: Worker, name: str) -> WritingModel | ReadingModel:
    served = worker.served.get(name)
    if served is None:
        raise Refusal(404, "model_not_found", f"The model `{name[:80]}` does not exist.", "model")
    return served


async def _complete(request: Request, is_chat: bool) -> Response:
    completion, worker = completion_request.read(await _body(request), is_chat), _worker(request)
    served = _served(worker, completion.model)
    if isinstance(served, ReadingModel):
        return await _label(request, worker, served, completion)
    grammar = await asyncio.to_thread(served.grammar, completion_request.schema(completion))
    prompts = served.prompts(completion)
    default = None if is_chat else completion_request.COMPLETION_TOKENS
    rooms = [served.room(completion, prompt, default) for prompt in prompts]
    events: asyncio.Queue[Event | None] = asyncio.Queue()
    loop, gone = asyncio.get_running_loop(), threading.Event()

    def emit(*piece: Any) -> None:
        if completion.stream and not completion.may_call:
            loop.call_soon_threadsafe(events.put_nowait, piece)

    future = worker.answer(served, completion, list(zip(prompts, rooms, strict=True)), grammar, emit, gone)
    answers = asyncio.wrap_future(future)
    reply = Reply(completion, prompts)
    if completion.stream:
        answers.add_done_callback(lambda _: events.put_nowait(None))
        return StreamingResponse(_stream(reply, events, answers, gone), media_type="text/event-stream")
    if not await _waits(request, answers, gone):
        return Response(status_code=CLIENT_LEFT)
    return JSONResponse(reply.whole(answers.result()))


async def _waits(request: Request, answers: "asyncio.Future[Any]", gone: threading.Event) -> bool:
    """True once `answers` are there; False if the client hung up first."""
    left = asyncio.ensure_future(request.receive())
    waited: set[asyncio.Future[Any]] = {answers, left}
    try:
        await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        return answers.done()
    finally:
        gone.set()
        left.cancel()


async def _stream(
    reply: Reply, events: asyncio.Queue[Event | None], answers: "asyncio.Future[list[Answer]]", gone: threading.Event
) -> AsyncIterator[bytes]:
    """The events of a stream; one that fails ends with an error event, never as if it were whole."""
    sent: dict[int, int] = {}  # tokens by choice
    try:
        while (event := await events.get()) is not None:
            place, text, tokens = event
            if place not in sent and reply.is_chat:
                yield _event(reply.opening(place))
            yield _event(reply.piece(place, text, tokens, place not in sent))
            sent[place] = sent.get(place, 0) + len(tokens)
        for place, answer in enumerate(complete := await answers):
            for held_back in reply.held_back(place, answer):
                yield _event(held_back)
            yield _event(reply.ending(place, answer, sent.get(place, 0)))
        if reply.request.stream_options and reply.request.stream_options.include_usage:
            yield _event(reply.closing(complete))
        yield b"data: [DONE]\n\n"
    except Exception:
        log.exception("a stream broke")
        yield FAILED.event()
    finally:
        gone.set()


def _event(value: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(value, ensure_ascii=False).encode() + b"\n\n"


def _worker(request: Request) -> Worker:
    worker: Worker = request.app.state.worker
    return worker


async def _body(request: Request) -> bodies.Body:
    return bodies.parse(await bodies.read(request, MOST_BYTES))
