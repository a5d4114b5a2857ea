"""`python -m tasks.serve.pooling --model FOLDER --name NAME --port PORT`: serves the classifier in a folder (see
tasks/models/pooled.py) by vLLM until it is told to stop.
"""

import argparse
import logging
import sys
from pathlib import Path

from tasks.stage import guarded


def main() -> None:
    """Load, then serve: as soon as /health answers, the classifier does."""
    from tasks.serve.pooling import engine
    from tasks.serve.transformers.__main__ import run
    from tasks.serve.transformers.worker import Worker

    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s")
    options = arguments()
    worker = Worker(options.model, options.max_model_len)
    worker.served[options.name] = engine.load(options.model, options.max_model_len)
    run(worker, options.host, options.port)


def arguments() -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="the folder with the classifier")
    parser.add_argument("--name", required=True, help="by which it is asked")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--max-model-len", type=int, default=1024, help="tokens of a text")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(guarded(main))
