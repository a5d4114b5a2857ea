"""The gateway as an application: `create_app` makes one on any settings, database, table and keys."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST
from sqlalchemy import Engine
from starlette.exceptions import HTTPException

from tasks.serve import routes
from tasks.serve.dashboard import page
from tasks.serve.gateway import classify, errors, feedback, followed, keys, openai, task
from tasks.serve.gateway.door import Door, Settings, door_of


def create_app(
    settings: Settings,
    engine_factory: Callable[[], Engine],
    table_path: Path = routes.TABLE,
    keys_path: Path = keys.STORE,
) -> FastAPI:
    """The application. Only the routes below exist: whatever else vLLM has, nobody gets there from outside."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with app.state.door.open():
            yield

    app = FastAPI(
        title="Anneal", lifespan=lifespan, openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False
    )
    state = app.state
    state.table, state.engine = routes.Table(), None  # the dashboard reads these two, and `registry`
    state.door = Door(
        settings,
        engine_factory,
        table_path,
        keys_path,
        on_table=lambda table: setattr(state, "table", table),
        on_engine=lambda engine: setattr(state, "engine", engine),
    )
    state.registry = state.door.metrics.registry
    for router in (openai.router, classify.router, task.router, feedback.router, followed.router, page.router):
        app.include_router(router)
    app.add_api_route("/health", health, methods=["GET"])
    app.add_api_route("/ready", ready, methods=["GET"])
    app.add_api_route("/metrics", metrics, methods=["GET"])
    app.add_exception_handler(HTTPException, errors.on_http)
    app.add_exception_handler(errors.Refusal, errors.on_refusal)
    app.add_exception_handler(Exception, errors.on_crash)
    return app


async def health() -> dict:
    """The process lives."""
    return {"status": "ok"}


async def ready(request: Request) -> Response:
    """200 when a task can be answered, 503 with the reason when none can."""
    trouble = door_of(request).follower.trouble()
    return JSONResponse({"ready": trouble is None, "reason": trouble}, 200 if trouble is None else 503)


async def metrics(request: Request) -> Response:
    """The page for Prometheus. Made in the event loop, so that the table's revision and the requests in flight are
    of one moment.
    """
    return Response(door_of(request).metrics.text(), media_type=CONTENT_TYPE_LATEST)
