"""Learning curves of a text classifier: an encoder tuned on more and more rows, beside what its frozen embedding and
TF-IDF come to under a logistic regression, on the same rows and seeds.

`.venv/bin/python bench/classify_curves.py CSV [--test CSV] [--sizes 1000 4000 all] [--seeds 1 2 3] [--rates 1e-4]`
(`--help` for the rest): a table, `curves.png` in `--out`, and one JSON line last. It makes a project of its own in
`--out` and runs the pipeline's stages there, on a row of params.yaml for each size, rate and seed; a run that was
killed goes on where it was. A CSV has a column of texts and one of classes, `--text` and `--label`.

Rows are dealt by `prepare`, and test rows are the same for all: its test split, or every row of `--test`, which is then
held against no training row, as where a published split is kept. A size counts training rows, drawn by the seed;
an eighth as many of the validation split choose the best epoch, and the strength of the regressions.
"""

import argparse
import json
import os
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from bench import curves_drawing, curves_probes, curves_project
from bench.curves_project import Run
from tasks import environment
from tasks.files import write_json, write_text

TUNED = "tuned"


def main() -> None:
    """Run all that is not there yet, then say what came of it."""
    environment.apply()
    options = arguments()
    began = time.monotonic()
    runs = [Run(size, rate, seed) for size in options.sizes for rate in options.rates for seed in options.seeds]
    curves_project.make(options, runs)
    os.chdir(options.out)
    scores = defaultdict[tuple[str, str], list[dict[str, float]]](list)
    for run in runs:
        scores[run.size, f"{TUNED} at {run.rate:g}"].append(curves_project.tuned(run))
        print(f"{run.name}: {scores[run.size, f'{TUNED} at {run.rate:g}'][-1]}", file=sys.stderr, flush=True)
    for run in (run for run in runs if run.rate == options.rates[0]):
        for name, score in curves_probes.scores(run).items():
            scores[run.size, name].append(score)
    rows = [line(size, name, of_seeds) for (size, name), of_seeds in scores.items()]
    write_text(Path("curves.md"), table := as_table(rows))
    write_json(Path("curves.json"), rows)
    curves_drawing.draw(rows, runs, Path("curves.png"))
    print(table)
    print(json.dumps({"minutes": round((time.monotonic() - began) / 60, 1), "curves": rows}))


def arguments() -> argparse.Namespace:
    """The options of the command line, paths made whole."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("csv", type=Path)
    parser.add_argument("--test", type=Path, help="a CSV of rows that are held out, in place of prepare's own")
    parser.add_argument("--text", default="text")
    parser.add_argument("--label", default="category")
    parser.add_argument("--sizes", nargs="+", default=["1000", "4000", "all"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--rates", nargs="+", type=float, default=[curves_project.RATE])
    parser.add_argument("--epochs", type=int, default=curves_project.EPOCHS)
    parser.add_argument("--batch-size", type=int, default=curves_project.BATCH_SIZE)
    parser.add_argument("--base", default="minilm", help="a row of bases in params.yaml")
    parser.add_argument("--out", type=Path, default=Path(".anneal/curves"))
    options = parser.parse_args()
    options.csv, options.out = options.csv.resolve(), options.out.resolve()
    options.test = options.test and options.test.resolve()
    return options


def line(size: str, name: str, of_seeds: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """A line of the table: means over the seeds, the range over them, and how sure the test rows make of the mean."""
    from scipy.stats import binomtest

    accuracy, rows = [score["accuracy"] for score in of_seeds], int(of_seeds[0]["test_rows"])
    mean = statistics.mean(accuracy)
    interval = binomtest(round(mean * rows), rows).proportion_ci(0.95, method="wilson")
    return {
        "rows": int(of_seeds[0]["rows"]),
        "size": size,
        "model": name,
        "seeds": len(of_seeds),
        "accuracy": round(mean, 4),
        "lowest": round(min(accuracy), 4),
        "highest": round(max(accuracy), 4),
        "interval": [round(interval.low, 4), round(interval.high, 4)],
        "macro_f1": round(statistics.mean(score["macro_f1"] for score in of_seeds), 4),
        "seconds": round(statistics.mean(score["seconds"] for score in of_seeds), 1),
        "test_rows": rows,
    }


def as_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Markdown; shares in percent."""
    head = "| rows | model | seeds | accuracy | of the seeds | 95 % by the test rows | macro-F1 | seconds |\n"
    lines = [
        f"| {row['rows']} | {row['model']} | {row['seeds']} | {row['accuracy']:.1%} | "
        f"{row['lowest']:.1%} to {row['highest']:.1%} | {row['interval'][0]:.1%} to {row['interval'][1]:.1%} | "
        f"{row['macro_f1']:.1%} | {row['seconds']:.0f} |\n"
        for row in sorted(rows, key=lambda row: (row["rows"], row["accuracy"]))
    ]
    return head + "|" + "---|" * 8 + "\n" + "".join(lines)


if __name__ == "__main__":
    main()
