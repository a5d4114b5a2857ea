"""How much personal data redaction takes out, form by form, and how many innocent lines it touches.

`.venv/bin/python bench/redaction_recall.py [times] [revision]`; the last line is JSON. The lines come from
bench/redaction_corpus.py and bench/innocent_corpus.py, `times` of each form (deterministic). Taken: no four characters
of the secret in a row are left. Exact: the text is the original but for the placeholder. With a revision (one whose
tasks/texts/redaction.py is a single file), that code is measured beside it.
"""

import importlib.util
import json
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from bench.innocent_corpus import innocent
from bench.redaction_corpus import Line, personal
from tasks.texts.redaction import redact

ROOT = Path(__file__).parent.parent
Redact = Callable[[str], str]


def is_taken(line: Line, redacted: str) -> bool:
    """No four characters of the secret in a row (without blanks and signs) are left, but for those that stood
    elsewhere too.
    """
    secret = _packed(line.text[line.start : line.end])
    left = {redacted_part for word in re.split("<[A-Z]+>", redacted) for redacted_part in _fours(_packed(word))}
    elsewhere = _fours(_packed(line.text[: line.start])) | _fours(_packed(line.text[line.end :]))
    return not (_fours(secret) & left) - elsewhere


def _packed(text: str) -> str:
    return "".join(char for char in text if char.isalnum())


def _fours(text: str) -> set[str]:
    return {text[i : i + 4] for i in range(len(text) - 3)}


def measure(redact: Redact, times: int) -> dict[str, dict[str, float]]:
    """For each kind: lines, share taken, share exact; for innocent lines: lines and share touched."""
    lines, taken, exact = Counter(), Counter(), Counter()
    for line in personal(times=times):
        redacted = redact(line.text)
        lines[line.kind] += 1
        exact[line.kind] += redacted == line.clean
        taken[line.kind] += is_taken(line, redacted)
        if "-v" in sys.argv and redacted != line.clean:
            print(f"  {line.form}: {line.text!r} → {redacted!r}")
    out = {
        kind: {"lines": count, "taken": taken[kind] / count, "exact": exact[kind] / count}
        for kind, count in lines.items()
    }
    return out | {"innocent": touched(redact, times)}


def touched(redact: Redact, times: int) -> dict[str, float]:
    """How many innocent lines there are, and the share that is changed."""
    lines = list(innocent(times=16 * times))
    changed = [line for line in lines if redact(line.text) != line.text]
    if "-v" in sys.argv:
        print(*(f"  {line.kind}: {line.text!r} → {redact(line.text)!r}" for line in changed), sep="\n")
    return {"lines": len(lines), "touched": len(changed) / len(lines)}


def before(revision: str) -> Redact:
    """`redact` as it was."""
    code = subprocess.run(
        ["git", "show", f"{revision}:tasks/texts/redaction.py"], cwd=ROOT, capture_output=True, check=True
    ).stdout
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "redaction_before.py"
        file.write_bytes(code)
        spec = importlib.util.spec_from_file_location(file.stem, file)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return module.redact


def main() -> None:
    """Measure, print the table, end with JSON."""
    words = [word for word in sys.argv[1:] if word != "-v"]
    times, revision = (words + ["1", ""][len(words) :])[:2]
    started, measured = time.monotonic(), {}
    for name, code in {revision: before(revision) if revision else None, "now": redact}.items():
        if code:
            measured[name] = measure(code, int(times))
            for kind, row in measured[name].items():
                print(
                    f"{name:<10} {kind:<10} {row['lines']:>6} lines   "
                    + "   ".join(f"{what} {share:.1%}" for what, share in row.items() if what != "lines")
                )
    print(json.dumps({"times": int(times), "seconds": round(time.monotonic() - started, 1), "measured": measured}))


if __name__ == "__main__":
    main()
