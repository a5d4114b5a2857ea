"""Whether two commits train the same adapter, byte for byte: a change of the code that should change nothing.

`.venv/bin/python bench/same_weights.py OLD [NEW]` (NEW: HEAD); a line a commit, and one JSON line last. Each commit is
checked out into a folder of its own and trains its own tiny base (tests/tiny.py) on one thread.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

TRAINING = """
import sys
from pathlib import Path
from tasks.files import sha256
from tests import tiny

place = Path(sys.argv[1])
base, prepared = tiny.make_base(place / "base"), tiny.write_prepared(place / "prepared", 32)
made = tiny.train_in(place, base, prepared, num_train_epochs=3)
print(sha256(base), sha256(made.adapter / "adapter_model.safetensors"))
"""


def hashes(commit: str, folder: Path) -> dict[str, str]:
    """The SHA-256 of the base and of the adapter that `commit`, checked out into `folder`, makes."""
    subprocess.run(["git", "worktree", "add", "--quiet", "--detach", str(folder / "code"), commit], check=True)
    try:
        done = subprocess.run(
            [sys.executable, "-c", TRAINING, str(folder / "made")],
            cwd=folder / "code",
            env={**os.environ, "PYTHONPATH": str(folder / "code"), "OMP_NUM_THREADS": "1"},
            check=True,
            capture_output=True,
            text=True,
        )
    finally:
        subprocess.run(["git", "worktree", "remove", "--force", str(folder / "code")], check=True)
    base, adapter = done.stdout.split()[-2:]
    return {"base": base, "adapter": adapter}


def main() -> None:
    """Train with both commits and compare."""
    old, new = [*sys.argv[1:], "HEAD"][:2]
    with tempfile.TemporaryDirectory() as folder:
        made = {commit: hashes(commit, Path(folder) / str(number)) for number, commit in enumerate((old, new))}
    for commit, hash_of in made.items():
        print(f"{commit[:12]:<14} base {hash_of['base'][:16]}  adapter {hash_of['adapter'][:16]}")
    print(json.dumps({"old": made[old], "new": made[new], "same": made[old] == made[new]}))


if __name__ == "__main__":
    main()
