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
from collections.abc import Callable, Iterator
from itertools import cycle, islice, repeat
from pathlib import Path
from statistics import median

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from tasks import environment
from tasks.files import read_jsonl
from tasks.monitor import state, verdict
from tasks.monitor.check import checks_of_a_year, events
from tasks.monitor.embedding import embed
from tasks.monitor.params import Monitor
from tasks.monitor.reference import Reference
from tasks.monitor.scores import Scores

SEED, BEFORE, EVERY = 2026, 100, 10  # the bets were tuned on seed 7; no figure is taken from that
TYPO = 0.02  # of the letters, in the traffic as it is
LABELS = ("category", "intent", "priority")
# Everyday words in five other languages: sentences of support requests.
FOREIGN = {
    "de": (
        "Guten Tag, mein Paket ist seit zwei Wochen nicht angekommen. Bitte sagen Sie mir, wo es ist. Ich möchte "
        "mein Geld zurück. Die Lampe flackert und die App stürzt ab."
    ),
    "fr": (
        "Bonjour, mon colis n'est pas arrivé depuis deux semaines. Dites-moi où il se trouve. Je voudrais être "
        "remboursé. La lampe clignote et l'application se ferme."
    ),
    "es": (
        "Buenos días, mi paquete no ha llegado en dos semanas. Díganme dónde está. Quiero que me devuelvan el "
        "dinero. La lámpara parpadea y la aplicación se cierra."
    ),
    "nl": (
        "Goedendag, mijn pakket is al twee weken niet aangekomen. Zeg me alstublieft waar het is. Ik wil mijn geld "
        "terug. De lamp flikkert en de app loopt vast."
    ),
    "it": (
        "Buongiorno, il mio pacco non è arrivato da due settimane. Ditemi dove si trova. Vorrei un rimborso. La "
        "lampada lampeggia e l'applicazione si chiude."
    ),
}
PRODUCTS = [
    "Solarwerk",
    "Akkubox",
    "Kilnbot",
    "Verdantia",
    "Hydropod",
    "Smartvane",
    "Thermoclip",
    "Gridlet",
    "Wattshare",
    "Ampere",
    "dongle",
    "inverter",
    "feed-in",
    "tariff",
    "kilowatt",
    "heat-pump",
    "compressor",
    "firmware-vx",
]


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
    """Banking77's test questions, the kind of question as category; none where the data set is not there."""
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


def typos(text: str, share: float, dice: random.Random) -> str:
    """`text` with a `share` of its letters exchanged, doubled or left out."""
    said = []
    for letter in text:
        if letter.isalpha() and dice.random() < share:
            letter = dice.choice(["", letter * 2, dice.choice("etaoinshrdlu")])
        said.append(letter)
    return "".join(said)


def shifts(rows: list[dict], dice: random.Random) -> dict[str, Iterator[dict]]:
    """What is asked after each named shift, on and on; no ticket twice before all have been asked. `rows` have their
    usual typos, and `clean` texts.
    """
    names = sorted({row["category"] for row in rows}, key=lambda name: -sum(row["category"] == name for row in rows))
    one = dice.choice(names[:4])
    favoured = [row for row in rows if row["category"] == one]

    def words(row: dict) -> str:
        return " ".join(
            dice.choice(PRODUCTS) if len(word) > 4 and dice.random() < 0.15 else word for word in row["text"].split(" ")
        )

    def foreign(row: dict) -> str:
        said = FOREIGN[dice.choice(sorted(FOREIGN))].split(". ")
        return ". ".join(dice.sample(said, 2)) if dice.random() < 0.3 else row["text"]

    def changed(change: Callable[[dict], str]) -> Iterator[dict]:
        return (row | {"text": change(row)} for row in dealt(rows, dice))

    usual, mixed = dealt(rows, dice), dealt(favoured, dice)
    return {
        "none": dealt(rows, dice),
        "new category mix (half in one more)": (next(mixed if dice.random() < 0.5 else usual) for _ in repeat(None)),
        "new vocabulary (15 % of longer words)": changed(words),
        "typos ×5 (2 % to 10 % of letters)": changed(lambda row: typos(row["clean"], 5 * TYPO, dice)),
        "length ×2": changed(lambda row: f"{row['text']} {dice.choice(rows)['text']}"),
        "language (30 % in five others)": changed(foreign),
    }


def dealt(rows: list[dict], dice: random.Random) -> Iterator[dict]:
    """`rows` in a random order, again and again."""
    return cycle(dice.sample(rows, len(rows)))


def answer(row: dict, classes: dict[str, list[str]], dice: random.Random) -> str:
    """The stub's answer: each class right nine times in ten."""
    said = {label: row[label] if dice.random() < 0.9 else dice.choice(classes[label]) for label in LABELS}
    return json.dumps({**said, "reply": "We are looking into it. " * dice.randint(2, 5)})


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
    tests = [{"id": row["id"], "text": answer(row, classes, dice), "expected": "", "row": row} for row in rows[cut:]]
    reference = Reference(known, tests, classes, {"system": "", "user": "{{ text }}", "answer": [*LABELS, "reply"]})
    known_vectors: dict[str, object] = {}

    def once(wanted: list[str]) -> object:
        missing = [text for text in wanted if text not in known_vectors]
        known_vectors.update(zip(missing, embed(missing), strict=True))
        return np.array([known_vectors[text] for text in wanted])

    return Scores(reference, once)


def needed(
    scores: Scores, start: state.State, asked: list[dict], classes: dict[str, list[str]], dice: random.Random, name: str
) -> int | None:
    """After how many requests beyond the first BEFORE an alarm is raised: 0 or less is a false one; None for never."""
    rows = [
        {"id": f"{name} {i}", "input": {"text": row["text"]}, "status": 200, "output": answer(row, classes, dice)}
        for i, row in enumerate(asked)
    ]
    threshold = verdict.line(len(state.evidence(start, scores.streams)), Monitor().false_alarms_per_year)
    for end in range(EVERY, len(rows) + 1, EVERY):
        bins, draws = events(scores, rows[end - EVERY : end], [], "bench")
        start = state.advance(start, scores.streams, bins, draws, 0.0)
        if verdict.is_drifted(state.evidence(start, scores.streams), threshold, {}, {}).alarm:
            return end - BEFORE
    return None


def measure(rows: list[dict], runs: int, requests: int) -> dict[str, list[int | None]]:
    """For each shift, what `needed` says in each run."""
    classes = {label: sorted({row[label] for row in rows}) for label in LABELS}
    found: dict[str, list[int | None]] = {}
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
            found.setdefault(name, []).append(
                needed(scores, start, [*before, *islice(source, requests)], classes, dice, f"{run} {name}")
            )
    return found


def main() -> None:
    """Measure, print the table, end with JSON."""
    environment.apply()
    runs, requests = (int(word) for word in (sys.argv[1:] + ["20", "250"][len(sys.argv) - 1 :]))
    started, out = time.monotonic(), {}
    for data, rows in (("support tickets", tickets()), ("banking77", banking())):
        for name, found in measure(rows, runs, requests).items() if rows else ():
            seen = [count for count in found if count is not None and count > 0]
            early = sum(count is not None and count <= 0 for count in found)
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
