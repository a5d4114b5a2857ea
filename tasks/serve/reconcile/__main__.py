"""`python -m tasks.serve.reconcile`: the loop under the supervisor."""

import sys

from tasks.serve.reconcile.loop import run
from tasks.stage import guarded

if __name__ == "__main__":
    sys.exit(guarded(run))
