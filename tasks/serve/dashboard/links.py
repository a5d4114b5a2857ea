"""Links to MLflow and Prefect. Not for the gateway's own modules, since this imports MLflow."""

import os

from tasks.serve.params import Servers
from tasks.versions import tracking


def links(section: Servers) -> dict[str, str]:
    """The URLs from the environment, or those of `make up`; never with a password."""
    prefect = os.environ.get("PREFECT_API_URL", "").rstrip("/").removesuffix("/api")
    return {
        "mlflow": _url(tracking.tracking_uri(), section.mlflow_port),
        "prefect": _url(prefect, section.prefect_port),
    }


def _url(uri: str, port: int) -> str:
    is_url = uri.startswith(("http://", "https://"))
    return tracking.redacted(uri) if is_url else f"http://127.0.0.1:{port}"
