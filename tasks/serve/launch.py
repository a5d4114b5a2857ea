"""Replaces itself by the given command, with telemetry off and low priority, ending when the supervisor ends:
`python -m tasks.serve.launch mlflow server …`.
"""

import os
import sys
from pathlib import Path

from tasks.serve import supervisor
from tasks.stage import guarded

NICENESS = 5


def launch(words: list[str]) -> None:
    """Replace this process by `words`; the program is looked for beside this Python first. What a killed predecessor
    left behind ends before.
    """
    if "SUPERVISOR_PROCESS_NAME" in os.environ:
        supervisor.end_left_behind(os.environ["SUPERVISOR_PROCESS_NAME"])
    os.nice(NICENESS)  # what people look at must not hold up what answers clients
    beside = Path(sys.executable).parent / words[0]
    os.execvp(str(beside) if beside.exists() else words[0], words)


if __name__ == "__main__":
    sys.exit(guarded(lambda: launch(sys.argv[1:])))
