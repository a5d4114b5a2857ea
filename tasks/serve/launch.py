"""Replaces itself by the given command, with telemetry off and low priority, ending when the supervisor ends:
`python -m tasks.serve.launch mlflow server …`.
"""

import os
import sys
from pathlib import Path

from tasks.serve import supervisor
from tasks.stage import guarded

NICENESS = 5


def launch(command: list[str]) -> None:
    """Replace this process by `command`, after ending what a killed predecessor left behind; the program is looked for
    beside this Python first.
    """
    if "SUPERVISOR_PROCESS_NAME" in os.environ:
        supervisor.end_left_behind(os.environ["SUPERVISOR_PROCESS_NAME"])
    os.nice(NICENESS)  # pages for people must not slow down what answers clients
    beside = Path(sys.executable).parent / command[0]
    os.execvp(str(beside) if beside.exists() else command[0], command)


if __name__ == "__main__":
    sys.exit(guarded(lambda: launch(sys.argv[1:])))
