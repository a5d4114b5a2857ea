"""GET /dashboard and its files. Reading needs no key; the page's buttons go to /admin/commands, which does."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import FileResponse, JSONResponse
from prometheus_client import CollectorRegistry
from sqlalchemy import Engine

from tasks import paths
from tasks.serve.dashboard import curves, data
from tasks.serve.dashboard.settings import DashboardSettings
from tasks.serve.routes import Table

router = APIRouter(prefix="/dashboard", include_in_schema=False)

FOLDER = Path(__file__).parent
STATIC = {
    "page.css": "text/css",
    **dict.fromkeys(("page.js", "words.js", "plots.js", "charts.js", "actions.js"), "text/javascript"),
}
REPORT_TYPES = {".html": "text/html", ".json": "application/json", ".png": "image/png", ".svg": "image/svg+xml"}
SAFE = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-cache"}
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri "
    "'none'; form-action 'none'; frame-ancestors 'none'"
)
# A report brings scripts of its own. The sandbox gives it an origin of its own: it sees neither the key in
# sessionStorage nor /admin.
REPORT_POLICY = (
    "sandbox allow-scripts allow-popups; default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'unsafe-inline'; img-src data: blob:; font-src data:"
)
GAUGES = {"dropped": "anneal_records_dropped_total", "waiting": "anneal_waiting", "backend_up": "anneal_backend_up"}


@dataclass(frozen=True)
class DashboardState:
    """What the page reads from its gateway, created at its start. `engine` is None while the records do not answer."""

    table: Callable[[], Table]
    engine: Callable[[], Engine | None]
    settings: DashboardSettings = field(default_factory=DashboardSettings)
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    reader: data.Reader = field(default_factory=data.Reader)


@router.get("")
def page() -> FileResponse:
    """The page."""
    return FileResponse(
        FOLDER / "page.html", media_type="text/html", headers={**SAFE, "Content-Security-Policy": PAGE_POLICY}
    )


@router.get("/static/{name}")
def static(name: str) -> FileResponse:
    """One of the page's own files."""
    if name not in STATIC:
        raise HTTPException(404, "the dashboard has no such file")
    return FileResponse(FOLDER / name, media_type=STATIC[name], headers=SAFE)


@router.get("/data.json")
def figures(request: Request, window: Literal["1h", "24h", "30d"] = "24h") -> JSONResponse:
    """All that the page shows of the last `window`. A plain function: the database is asked in a thread, not in the
    event loop.
    """
    state: DashboardState = request.app.state.dashboard
    shown = state.reader.page(state.engine(), state.table(), state.settings, curves.WINDOWS[window])
    more = {"servers": dict(state.settings.links), "gateway": gauges(state.registry)}
    return JSONResponse({**shown, **more}, headers=SAFE)


@router.get("/reports/{path:path}")
def report(path: str) -> FileResponse:
    """A file of the monitor's reports, and nothing outside their folder."""
    root = paths.CHECKS.resolve()
    try:
        # `resolve` follows links too: one that leads out of the folder is outside.
        file = (root / path).resolve()
        is_report = file.is_relative_to(root) and file.suffix in REPORT_TYPES and file.is_file()
    except (OSError, ValueError):  # a name too long, or with a null byte in it
        is_report = False
    if not is_report:
        raise HTTPException(404, "there is no such report")
    return FileResponse(
        file, media_type=REPORT_TYPES[file.suffix], headers={**SAFE, "Content-Security-Policy": REPORT_POLICY}
    )


def gauges(registry: CollectorRegistry) -> dict[str, float | None]:
    """The current values of the gateway's own metrics; None for one that it does not have."""
    return {name: registry.get_sample_value(metric) for name, metric in GAUGES.items()}
