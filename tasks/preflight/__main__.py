"""`python -m tasks.preflight`: checks all rows of params.yaml against each other and against the files."""

import sys

from tasks.preflight.checks import check_file
from tasks.stage import guarded

if __name__ == "__main__":
    sys.exit(guarded(check_file))
