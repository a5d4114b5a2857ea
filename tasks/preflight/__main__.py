"""`python -m tasks.preflight`: all rows of params.yaml, checked against each other and against what lies on disk."""

import sys

from tasks.preflight.checks import check_file
from tasks.stage import guarded

if __name__ == "__main__":
    sys.exit(guarded(check_file))
