"""Where a person finds MLflow and Prefect. Not for the gateway's own modules: MLflow is behind this import."""

import os

from tasks import tracking
from tasks.serve.params import Servers


def links(section: Servers) -> dict[str, str]:
    """What the environment says, or what `make up` starts; never with a password."""
    mlflow, prefect = tracking.tracking_uri(), os.environ.get("PREFECT_API_URL", "")
    return {
        "mlflow": tracking.redacted(mlflow) if _is_url(mlflow) else f"http://127.0.0.1:{section.mlflow_port}",
        "prefect": tracking.redacted(prefect).rstrip("/").removesuffix("/api") if _is_url(prefect) else f"http://127.0.0.1:{section.prefect_port}",
    }


def _is_url(text: str) -> bool:
    return text.startswith(("http://", "https://"))
