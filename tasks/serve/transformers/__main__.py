"""`python -m tasks.serve.transformers --model FOLDER --port PORT --adapter NAME=FOLDER …`: serves what was trained on
the weights in a folder until it is told to stop.
"""

import argparse
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.stage import guarded

if TYPE_CHECKING:
    from tasks.serve.transformers.worker import Worker

GRACE = 10  # seconds for running answers when the server is told to stop


def main() -> None:
    """Load, then serve: as soon as /health answers, all versions do."""
    from tasks.serve.transformers.worker import Worker

    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s")
    options = arguments()
    worker = Worker(options.model, options.max_model_len)
    for entry in options.adapter:
        name, _, folder = entry.partition("=")
        worker.load(name, Path(folder)).result()
    run(worker, options.host, options.port)


def run(worker: "Worker", host: str, port: int) -> None:
    """Serve what `worker` has, until the process is told to stop."""
    import uvicorn

    from tasks.serve.transformers.app import create_app

    uvicorn.run(
        create_app(worker),
        host=host,
        port=port,
        access_log=False,
        log_level="warning",
        server_header=False,
        timeout_graceful_shutdown=GRACE,
    )


def arguments() -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="the folder with the parent's weights")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--max-model-len", type=int, default=1024, help="tokens of prompt and answer")
    parser.add_argument("--adapter", action="append", default=[], metavar="NAME=FOLDER", help="a version, by its name")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(guarded(main))
