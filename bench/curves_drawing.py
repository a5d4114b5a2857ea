"""The picture of bench/classify_curves.py: accuracy by rows, and the losses of each epoch."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.curves_project import Run


def draw(rows: Sequence[Mapping[str, Any]], runs: Sequence[Run], out: Path) -> None:
    """One plot of all models by training rows, and one a size of training and validation loss by epoch."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    sizes = list(dict.fromkeys(run.size for run in runs))
    figure, places = pyplot.subplots(1, 1 + len(sizes), figsize=(5 * (1 + len(sizes)), 4.5), layout="constrained")
    _accuracy(places[0], rows)
    for place, size in zip(places[1:], sizes, strict=True):
        _losses(place, [run for run in runs if run.size == size], size)
    figure.savefig(out, dpi=120)


def _accuracy(place: Any, rows: Sequence[Mapping[str, Any]]) -> None:
    for name in dict.fromkeys(row["model"] for row in rows):
        own = sorted((row for row in rows if row["model"] == name), key=lambda row: row["rows"])
        counts, values = [row["rows"] for row in own], [100 * row["accuracy"] for row in own]
        bars = [[100 * abs(row["accuracy"] - row["interval"][end]) for row in own] for end in (0, 1)]
        place.errorbar(counts, values, yerr=bars, marker="o", capsize=3, label=name)
    place.set(xscale="log", xlabel="training rows", ylabel="accuracy, %", title="test rows")
    counts = sorted({row["rows"] for row in rows})
    place.set_xticks(counts, [f"{count:,}" for count in counts])
    place.minorticks_off()
    place.legend(loc="lower right")


def _losses(place: Any, runs: Sequence[Run], size: str) -> None:
    """Solid: validation, dashed: training (the mean of the steps of an epoch); a colour a rate."""
    rates = sorted({run.rate for run in runs})
    for run in runs:
        colour = f"C{rates.index(run.rate)}"
        trained, held_out = epochs(run.reports / "train/loss.csv")
        is_first = run.seed == runs[0].seed
        place.plot(*zip(*trained, strict=True), "--", color=colour, alpha=0.6)
        place.plot(
            *zip(*held_out, strict=True), "o-", color=colour, label=f"rate {run.rate:g}" if is_first else "_", alpha=0.8
        )
    place.xaxis.get_major_locator().set_params(integer=True)
    place.set(xlabel="epoch", title=f"loss, {size} rows (dashed: training)", ylim=(0, None))
    place.legend()


def epochs(file: Path) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
    """((epoch, mean training loss of it), (epoch, validation loss)), where there is an evaluation an epoch."""
    with file.open(encoding="utf-8", newline="") as lines:
        points = [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(lines)]
    ends = [point["step"] for point in points if "eval_loss" in point]
    trained = []
    for number, end in enumerate(ends):
        begin = ends[number - 1] if number else 0.0
        inside = [point["loss"] for point in points if "loss" in point and begin < point["step"] <= end]
        trained += [(number + 1.0, sum(inside) / len(inside))] if inside else []
    return trained, [
        (number + 1.0, point) for number, point in enumerate(p["eval_loss"] for p in points if "eval_loss" in p)
    ]
