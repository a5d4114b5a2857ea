"""Runs the gateway of this checkout: `python -m tasks.serve.gateway`, by the sections `gateway` and `records` of
params.yaml.
"""

import sys

from fastapi import FastAPI

from tasks import stage
from tasks.records import database
from tasks.serve.dashboard.settings import DashboardSettings
from tasks.serve.gateway.app import create_app

GRACE = 10  # seconds for running answers when the gateway is told to stop
KEEP_ALIVE = 75  # seconds; longer than usual clients and proxies keep connections, or they would meet closed ones
SWITCH = 0.0005  # seconds: the thread that writes the log must not hold up the answers for Python's usual 5 ms


def serve(app: FastAPI, host: str, port: int) -> None:
    """Serve `app` until SIGTERM or SIGINT."""
    import uvicorn

    sys.setswitchinterval(SWITCH)
    uvicorn.run(
        app,
        host=host,
        port=port,
        loop="uvloop",
        http="httptools",
        ws="none",
        access_log=False,
        log_level="warning",
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=GRACE,
    )


def main() -> None:
    """Read the sections and serve."""
    from tasks import params as settings
    from tasks.serve.dashboard.links import links

    params = settings.load()
    # vLLM refuses to be asked for more than it has room for.
    most = min(params.gateway.max_tokens, params.deploy.max_model_len)
    gateway = params.gateway.model_copy(update={"max_tokens": most})
    dashboard = DashboardSettings(params.monitor, params.retrain, params.release, links(params.servers))
    app = create_app(gateway, params.records, database.connect, dashboard=dashboard)
    serve(app, gateway.host, gateway.port)


if __name__ == "__main__":
    sys.exit(stage.guarded(main))
