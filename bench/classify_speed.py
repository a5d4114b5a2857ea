"""Rows a second of training a text classifier: Anneal's `train` beside transformers' Trainer as its text-classification
example runs it (examples/pytorch/text-classification/run_classification.py), same encoder, same rows, same machine.

`.venv/bin/python bench/classify_speed.py [CSV] [--rows 768] [--rounds 3]`; the last line is JSON. A CSV has the text in
its first column and the class in its last; without one the shipped tickets tell their category. The rival pads every
row to 128 tokens, as the example does by default, or each batch to its longest row (`--pad_to_max_length False`), and
computes in fp32 as there, or in bf16 where the machine does so in hardware; each form at its fastest batch size of 8,
16 and 32, ours at those sizes and at 32. They are timed in turns, steps after a warm-up (ours an epoch, the rival
`--steps`); encoding, evaluation and checkpoints are left out on both sides. CPU seconds are those of all
threads, and drift less than seconds where others use the machine.

That speed costs nothing is shown by the loss on held-out rows: the Trainer trains *our* model (mean of the tokens, head
at a rate of its own) from the same weights in the example's way, in fp32 with batches in random order.
"""

import argparse
import csv
import gc
import json
import logging
import random
import statistics
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from bench import classify_ways
from bench.classify_ways import Speed, Task
from tasks import environment
from tasks.files import read_jsonl
from tasks.params import load
from tasks.stages.prepare.shapes import labelled

TICKETS = Path("data/seed/support_tickets/tickets.jsonl")
BATCHES, HELD_OUT = (8, 16, 32), 128
Losses = dict[str, list[float]]


def main() -> None:
    """Find the rival's fastest batch sizes, then measure in turns."""
    environment.apply()
    logging.disable(logging.WARNING)
    options = arguments()
    with tempfile.TemporaryDirectory() as folder:
        task = make_task(options, Path(folder))
        best = {name: fastest(task, name, max(1, options.steps // 2)) for name in classify_ways.rivals()}
        speeds, losses = rounds(task, best, options)
    medians = {name: middle(of_rounds) for name, of_rounds in speeds.items()}
    print(json.dumps(report(task, best, medians, losses)))


def arguments() -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("csv", nargs="?", type=Path)
    parser.add_argument("--rows", type=int, default=768, help="that are trained on, once")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=8, help="of a rival that are timed; half as many to find its size")
    return parser.parse_args()


def make_task(options: argparse.Namespace, folder: Path) -> Task:
    """Rows as `prepare` writes them, in a fixed random order, and the encoder of params.yaml."""
    from tasks.stages.base import base

    weights = Path("models/minilm/weights")
    if not weights.exists():
        base(load().bases["minilm"], weights := folder / "minilm/weights")
    raw = read(options.csv) if options.csv else tickets()
    random.Random(0).shuffle(raw)
    params = labelled.Params(shape="labelled", user="{{ text }}", labels=["label"])
    rows = [dict(labelled.example({"id": str(i), **row}, params)) for i, row in enumerate(raw)]
    train = rows[: options.rows]
    known = {row["answer"] for row in train}
    held_out = [row for row in rows[options.rows :] if row["answer"] in known][:HELD_OUT]
    return Task(weights, {"train": train, "validation": held_out})


def read(file: Path) -> list[dict[str, str]]:
    """`{text, label}` of a CSV with a header."""
    with file.open(encoding="utf-8", newline="") as lines:
        _, *rows = csv.reader(lines)
    return [{"text": row[0], "label": row[-1]} for row in rows]


def tickets() -> list[dict[str, str]]:
    """The same of the tickets that are shipped."""
    rows = read_jsonl(TICKETS)
    return [{"text": f"{row['subject']}\n\n{row['body']}", "label": row["category"]} for row in rows]


def fastest(task: Task, name: str, steps: int) -> int:
    """The batch size at which a rival trains the most rows a CPU second, by a few steps of each."""
    pace = {size: classify_ways.rival(task, name, size, steps).cpu for size in BATCHES}
    print(f"{name}: " + ", ".join(f"{size} a batch {value:.1f}" for size, value in pace.items()), file=sys.stderr)
    return max(pace, key=pace.__getitem__)


def rounds(task: Task, best: dict[str, int], options: argparse.Namespace) -> tuple[dict[str, list[Speed]], Losses]:
    """(speeds of all, held-out losses of ours and of the plain way by batch size), a value a round; a seed a round."""
    speeds, losses = defaultdict[str, list[Speed]](list), defaultdict[str, list[float]](list)
    sizes = sorted({*best.values(), BATCHES[-1]})
    for seed in range(options.rounds):
        for size in sizes:
            speed, loss = classify_ways.ours(task, size, seed)
            speeds[own(size)].append(speed)
            losses[own(size)].append(loss)
        for name, its_size in best.items():
            speeds[name].append(classify_ways.rival(task, name, its_size, options.steps))
        losses["plain"].append(classify_ways.plain(task, sizes[-1], seed))
        gc.collect()
        print(f"round {seed + 1}: { {name: found[-1] for name, found in speeds.items()} }", file=sys.stderr)
    return speeds, losses


def own(size: int) -> str:
    """What ours is called at a batch size."""
    return f"anneal_{size}"


def middle(of_rounds: list[Speed]) -> Speed:
    """The medians."""
    return Speed(*(statistics.median(values) for values in zip(*of_rounds, strict=True)))


def report(task: Task, best: dict[str, int], speeds: dict[str, Speed], losses: Losses) -> dict[str, Any]:
    """The figures of all rounds."""
    means = {name: statistics.mean(values) for name, values in losses.items()}
    fastest_own = max((name for name in speeds if name.startswith("anneal")), key=lambda name: speeds[name].cpu)
    compared = {
        name: {"at_its_batch_size": speeds[own(size)], "each_at_its_fastest": speeds[fastest_own]}
        for name, size in best.items()
    }
    return {
        "rows": len(task.rows["train"]),
        "classes": len({row["answer"] for row in task.rows["train"]}),
        "fastest_batch_size": {**best, "anneal": int(fastest_own.rpartition("_")[2])},
        "rows_per_second": {name: round(speed.wall, 1) for name, speed in speeds.items()},
        "rows_per_cpu_second": {name: round(speed.cpu, 1) for name, speed in speeds.items()},
        "times_as_fast": {
            name: {way: round(speed.wall / speeds[name].wall, 2) for way, speed in ways.items()}
            for name, ways in compared.items()
        },
        "times_as_fast_by_cpu": {
            name: {way: round(speed.cpu / speeds[name].cpu, 2) for way, speed in ways.items()}
            for name, ways in compared.items()
        },
        "held_out_loss": {name: round(value, 4) for name, value in means.items()},
        "loss_difference": round(means[own(BATCHES[-1])] / means["plain"] - 1, 4),
    }


if __name__ == "__main__":
    main()
