"""The gateway as an application: `create_app` builds one on any settings, database, table and keys."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST
from sqlalchemy import Engine
from starlette.exceptions import HTTPException

from tasks.serve import routes
from tasks.serve.dashboard import page
from tasks.serve.dashboard.settings import DashboardSettings
from tasks.serve.gateway import classify, feedback, keys, openai, rank, record, task
from tasks.serve.gateway.errors import Refusal, of_http
from tasks.serve.gateway.request import new_id
from tasks.serve.gateway.state import running, state_of
from tasks.serve.params import Gateway, Records


def create_app(
    settings: Gateway,
    records: Records,
    engine_factory: Callable[[], Engine],
    table_path: Path = routes.TABLE,
    keys_path: Path = keys.STORE,
    dashboard: DashboardSettings | None = None,
) -> FastAPI:
    """The application. Only the routes below exist: vLLM's other routes cannot be reached from outside."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with running(settings, records, engine_factory, table_path, keys_path) as gateway:
            app.state.gateway = gateway
            app.state.dashboard = page.DashboardState(
                lambda: gateway.follower.table,
                lambda: gateway.writer.connected,
                dashboard or DashboardSettings(),
                gateway.metrics.registry,
            )
            yield

    app = FastAPI(
        title="Anneal", lifespan=lifespan, openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False
    )
    for router in (openai.router, classify.router, rank.router, task.router, feedback.router, page.router):
        app.include_router(router)
    app.add_api_route("/health", health, methods=["GET"])
    app.add_api_route("/ready", ready, methods=["GET"])
    app.add_api_route("/metrics", metrics, methods=["GET"])
    app.add_api_route(routes.FOLLOWED, followed, methods=["GET"])
    app.add_exception_handler(HTTPException, on_error)
    app.add_exception_handler(Refusal, on_error)
    app.add_exception_handler(Exception, on_error)
    return app


async def health() -> dict[str, str]:
    """200 while the process runs."""
    return {"status": "ok"}


async def ready(request: Request) -> Response:
    """200 if a task can be answered, else 503 with the reason."""
    trouble = state_of(request).follower.trouble()
    return JSONResponse({"ready": trouble is None, "reason": trouble}, 200 if trouble is None else 503)


async def metrics(request: Request) -> Response:
    """The page for Prometheus. Made in the event loop, so that the table's revision and the requests in flight are
    of one moment.
    """
    return Response(state_of(request).metrics.text(), media_type=CONTENT_TYPE_LATEST)


async def followed(request: Request) -> Response:
    """`routes.Followed`, for the reconciler, which unloads only what is no longer used. Made in the event loop, and
    readable without a key, like /metrics: keep both internal.
    """
    gateway = state_of(request)
    revision, waiting = gateway.follower.table.revision, gateway.backend.queue.waiting
    return JSONResponse(asdict(routes.Followed(revision, waiting, gateway.metrics.running())))


async def on_error(request: Request, error: Exception) -> JSONResponse:
    """Refuse and record a request for which no version was chosen: our refusals, FastAPI's own, and unexpected errors,
    whose traceback goes to the log and not to the client.
    """
    gateway, request_id = state_of(request), new_id()
    refusal, headers = _refusal_of(error), dict(error.headers or {}) if isinstance(error, HTTPException) else {}
    # The route's path, not the requested one, which may be anything and must not be logged.
    path = getattr(request.scope.get("route"), "path", "(unknown)")
    gateway.metrics.refused.labels(refusal.code).inc()
    gateway.writer.put(record.of_refusal(refusal, request_id, path, getattr(request.state, "key_id", None)))
    return refusal.response({**headers, "x-request-id": request_id})


def _refusal_of(error: Exception) -> Refusal:
    if isinstance(error, Refusal):
        return error
    if isinstance(error, HTTPException):
        return of_http(error)
    return Refusal(500, "internal_error", "Internal error; the gateway's log has the details.")
