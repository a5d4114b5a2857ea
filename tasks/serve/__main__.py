"""Becomes the vLLM server that a state file asks for; run by the supervisor."""

import os
import sys
from pathlib import Path

from tasks.errors import AnnealError
from tasks.serve import state
from tasks.stage import guarded


def serve(path: Path) -> None:
    """Replace this process by vLLM; AnnealError when nothing is to be served."""
    wanted = state.read(path)
    if wanted is None:
        raise AnnealError("nothing is deployed yet: run `make pipeline` first.")
    os.environ.update(state.environment(wanted))
    words = state.command(wanted)
    os.execv(words[0], words)  # guarded() asked to die with the supervisor, and that outlives exec


if __name__ == "__main__":
    sys.exit(guarded(lambda: serve(Path(sys.argv[1]) if len(sys.argv) > 1 else state.CURRENT)))
