"""The log of errors beside the requests: lines of JSON on stderr."""

import json
import sys


def error(event: str, message: str) -> None:
    """Write a line; OSError or ValueError when stderr is full or closed."""
    print(json.dumps({"event": event, "error": message}), file=sys.stderr, flush=True)
