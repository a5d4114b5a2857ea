"""Runs the vLLM server that a state file asks for, and leaves none of its processes behind; run by the supervisor."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from tasks.errors import AnnealError
from tasks.serve import state
from tasks.stage import die_with_parent, guarded


def serve(path: Path) -> None:
    """Run vLLM until it ends, then end every process of its group; AnnealError when nothing is to be served.

    An API server that is killed cannot stop its engine, which would go on holding gigabytes and its port's model: the
    group (the supervisor makes one for each program) is what dies together.
    """
    wanted = state.read(path)
    if wanted is None:
        raise AnnealError("nothing is deployed yet: run `make pipeline` first.")
    server = subprocess.Popen(state.command(wanted), env=os.environ | state.environment(wanted), preexec_fn=die_with_parent)
    signal.signal(signal.SIGTERM, lambda *_: server.terminate())
    server.wait()
    if os.getpgrp() == os.getpid():  # never the group of a shell that runs this by hand
        os.killpg(os.getpgrp(), signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(guarded(lambda: serve(Path(sys.argv[1]) if len(sys.argv) > 1 else state.CURRENT)))
