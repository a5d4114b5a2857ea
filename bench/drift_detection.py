"""How many requests the monitor needs to see a named shift, on real texts, and how often it sees nothing where nothing
is.

`.venv/bin/python bench/drift_detection.py [runs] [requests]`; the last line is JSON. Support tickets that ship with the
project (and `../shared/data/banking77` where it is there) are dealt out anew in each run: half is the reference, the
other half the traffic, no ticket twice before all have been asked: first 100 requests as they are, then the shift.
Answers are those of a stub that names the right classes nine times in ten. All features of the monitor take part,
embeddings included; a check comes after every ten requests.
"""

import csv
import json
import random
import sys
import time
from itertools import islice
from pathlib import Path
from statistics import median

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from bench.shifts import TYPO, shifts, typos
from tasks import environment
from tasks.files import read_jsonl
from tasks.monitor import alarm, state
from tasks.monitor.check import checks_of_a_year, events
from tasks.monitor.embedding import embed
from tasks.monitor.params import Monitor
from tasks.monitor.reference import Reference
from tasks.monitor.scores import Scores

SEED, BEFORE, EVERY = 2026, 100, 10  # the bets were tuned on seed 7; no figure is taken from that
LABELS = ("category", "intent", "priority")


def tickets() -> list[dict]:
    """Support tickets as {id, text, category, intent, priority}."""
    rows = read_jsonl(Path("data/seed/support_tickets/tickets.jsonl"))
    return [
        {
            "id": row["id"],
            "text": f"Subject: {row['subject']}\n\n{row['body']}",
            **{label: row[label] for label in LABELS},
        }
        for row in rows
    ]


def banking() -> list[dict]:
    """Banking77's test questions, the kind of question as category; none where the dataset is not there."""
    file = Path("../shared/data/banking77/test.csv")
    if not file.exists():
        return []
    with file.open(encoding="utf-8", newline="") as opened:
        rows = list(csv.DictReader(opened))
    picked = random.Random(SEED).sample(rows, 1200)
    return [
        {
            "id": f"b{i}",
            "text": row["text"],
            "category": row["category"].split("_")[0],
            "intent": row["category"],
            "priority": "normal",
        }
        for i, row in enumerate(picked)
    ]


def answer(row: dict, classes: dict[str, list[str]], dice: random.Random) -> str:
    """The stub's answer: each class right nine times in ten."""
    answered = {label: row[label] if dice.random() < 0.9 else dice.choice(classes[label]) for label in LABELS}
    return json.dumps({**answered, "reply": "We are looking into it. " * dice.randint(2, 5)})


def scores_of(rows: list[dict], classes: dict[str, list[str]], dice: random.Random) -> Scores:
    """The score functions of a version trained on three quarters of `rows` and evaluated on the rest."""
    cut = 3 * len(rows) // 4
    known = [
        {
            "id": row["id"],
            "split": "train" if i < cut else "test",
            "input": {"text": row["text"]},
            "answer": {label: row[label] for label in LABELS},
        }
        for i, row in enumerate(rows)
    ]
    tests = [{"id": row["id"], "text": answer(row, classes, dice), "answer": "", "row": row} for row in rows[cut:]]
    reference = Reference(known, tests, classes, {"system": "", "user": "{{ text }}", "answer": [*LABELS, "reply"]})
    known_vectors: dict[str, object] = {}

    def remembered(asked: list[str]) -> object:
        missing = [text for text in asked if text not in known_vectors]
        known_vectors.update(zip(missing, embed(missing), strict=True))
        return np.array([known_vectors[text] for text in asked])

    return Scores(reference, remembered)


def needed(
    scores: Scores,
    start: state.MonitorState,
    asked: list[dict],
    classes: dict[str, list[str]],
    dice: random.Random,
    name: str,
) -> int | None:
    """After how many requests beyond the first BEFORE an alarm is raised: 0 or less is a false one; None for never."""
    rows = [
        {"id": f"{name} {i}", "input": {"text": row["text"]}, "status": 200, "output": answer(row, classes, dice)}
        | {"probabilities": None}
        for i, row in enumerate(asked)
    ]
    threshold = alarm.alarm_threshold(len(state.evidence(start, scores.streams)), Monitor().false_alarms_per_year)
    for end in range(EVERY, len(rows) + 1, EVERY):
        bins, draws = events(scores, rows[end - EVERY : end], [], "bench")
        start = state.advance(start, scores.streams, bins, draws, 0.0)
        if alarm.find_drift(state.evidence(start, scores.streams), threshold, {}, {}).alarm:
            return end - BEFORE
    return None


def measure(rows: list[dict], runs: int, requests: int) -> dict[str, list[int | None]]:
    """For each shift, what `needed` says in each run."""
    classes = {label: sorted({row[label] for row in rows}) for label in LABELS}
    counts: dict[str, list[int | None]] = {}
    for run in range(runs):
        dice = random.Random(f"{SEED} {run}")
        every = [
            row | {"clean": row["text"], "text": typos(row["text"], TYPO, dice)} for row in dice.sample(rows, len(rows))
        ]
        half = len(every) // 2
        scores = scores_of(every[:half], classes, dice)
        start = state.begin(scores, checks_of_a_year(Monitor()), 0.0, False)
        before = every[half : half + BEFORE]
        for name, source in shifts(every[half + BEFORE :], dice).items():
            counts.setdefault(name, []).append(
                needed(scores, start, [*before, *islice(source, requests)], classes, dice, f"{run} {name}")
            )
    return counts


def main() -> None:
    """Measure, print the table, end with JSON."""
    environment.apply()
    runs, requests = (int(word) for word in (sys.argv[1:] + ["20", "250"][len(sys.argv) - 1 :]))
    started, out = time.monotonic(), {}
    for data, rows in (("support tickets", tickets()), ("banking77", banking())):
        for name, counts in measure(rows, runs, requests).items() if rows else ():
            seen = [count for count in counts if count is not None and count > 0]
            early = sum(count is not None and count <= 0 for count in counts)
            out[f"{data}: {name}"] = {
                "detected": len(seen) / runs,
                "median": median(seen) if seen else None,
                "most": max(seen, default=None),
                "before_the_shift": early / runs,
            }
            print(
                f"{data:<16} {name:<40} detected within {requests}: {len(seen) / runs:>4.0%}   median "
                f"{median(seen) if seen else '–':>5}   most {max(seen, default='–'):>5}",
                flush=True,
            )
    print(json.dumps({"runs": runs, "requests": requests, "seconds": round(time.monotonic() - started), "shifts": out}))


if __name__ == "__main__":
    main()
