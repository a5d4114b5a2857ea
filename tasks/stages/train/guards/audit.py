"""The lines of what guards found and did: on the screen, in the checkpoints, and in guards.json of the report."""

import sys
from dataclasses import dataclass, field
from pathlib import Path

from tasks.files import write_json

FILE = "guards.json"


@dataclass
class Audit:
    """The lines so far, in order: step, guard, what was done (`skip`, `back`, `say`, `stop`), and words."""

    lines: list[dict[str, object]] = field(default_factory=list)

    def add(self, step: int, guard: str, action: str, words: str) -> None:
        """Add a line and show it; `words` are a sentence without a full stop."""
        self.lines.append({"step": step, "guard": guard, "action": action, "words": words})
        print(f"train: step {step}: {words}", file=sys.stderr, flush=True)

    def write(self, folder: Path) -> None:
        """Write the lines to `folder`; an empty list where nothing was found (DVC warns of an empty file)."""
        keys = ("step", "guard", "action", "words")
        write_json(folder / FILE, [{key: line[key] for key in keys} for line in self.lines])
