"""Seconds to find duplicates among many rows: equal ones, ones that differ in a number, ones that are half alike, and
ones that share nothing.

`.venv/bin/python bench/prepare_speed.py [rows [kind …]]`; the last line is JSON, in seconds and MiB.
"""

import json
import random
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from tasks.stages.prepare.shapes.table import Params as Prepare
from tasks.stages.prepare.shapes.table import format_row
from tasks.stages.prepare.split_or_drop import assign

PARAMS = Prepare(system="Sort.", user="{{ text }}", answer=["label"])
WORDS = [
    f"{a}{b}"
    for a in ("am", "be", "ce", "du", "em", "fro", "gro", "he", "in", "ja")
    for b in ("ber", "dar", "kel", "lor", "mist", "nor", "pal")
]


def equal(number: int, chance: random.Random) -> str:
    """One text."""
    return "The lamp in the hall flickers every evening at about ten past nine and then goes out."


def numbered(number: int, chance: random.Random) -> str:
    """A question that differs from the others in an order number."""
    return f"What is the status of my order number {chance.randrange(10**6):06}? Thank you very much for your help."


def alike(number: int, chance: random.Random) -> str:
    """A form letter with a part of its own: no near-duplicate of another, and not far from being one."""
    own = " ".join(chance.choices(WORDS, k=4))
    return (
        f"Dear team, I write to you about the following matter, which I hope you can settle soon: {own}. Kind "
        "regards, yours."
    )


def unlike(number: int, chance: random.Random) -> str:
    """A text of words that it shares with others in no order."""
    return " ".join(chance.choices(WORDS, k=20))


def measure(text: Callable[[int, random.Random], str], count: int) -> dict[str, float]:
    """Seconds and rows left."""
    chance = random.Random(0)
    rows = [
        format_row({"id": f"r{number:06}", "text": text(number, chance), "label": "a"}, PARAMS)
        for number in range(count)
    ]
    started = time.perf_counter()
    assignment = assign(rows, PARAMS)
    return {"seconds": round(time.perf_counter() - started, 1), "kept": len(assignment.kept)}


def main() -> None:
    """Measure each kind of text, or those that are named."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    result: dict[str, object] = {"rows": count}
    for text in [
        kind for kind in (equal, numbered, unlike, alike) if not sys.argv[2:] or kind.__name__ in sys.argv[2:]
    ]:
        result[text.__name__] = measure(text, count)
        print(text.__name__, result[text.__name__], flush=True)
    print(json.dumps(result | {"peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}))


if __name__ == "__main__":
    main()
