"""A range test from a row of `models` to its page."""

import time
from pathlib import Path

from tasks import paths
from tasks.files import write_json
from tasks.lr_find import page
from tasks.lr_find.page import Shown
from tasks.lr_find.range_test import Range, run
from tasks.lr_find.suggestion import suggest
from tasks.params import Model

FOLDER, PAGE, RESULT = "lr_find", "index.html", "result.json"


def folder(model: str) -> Path:
    """Where the page and the figures of a model's test are."""
    return paths.reports(model) / FOLDER


def find(model: str, row: Model, rates: Range) -> Shown:
    """Do the test of a row whose parent and dataset are up to date; write its page and figures."""
    train, began = row.train, time.monotonic()
    points = run(train, paths.weights(row.parent), paths.prepared(row.dataset), rates)
    shown = Shown(
        model=model,
        own=train.learning_rate,
        rates=rates,
        points=points,
        suggestion=suggest(points),
        seconds=time.monotonic() - began,
        rows=train.per_device_train_batch_size * train.gradient_accumulation_steps,
        kinds=f"{train.objective.kind}, {train.tuner.kind}",
    )
    out, suggestion = folder(model), shown.suggestion
    out.mkdir(parents=True, exist_ok=True)
    write_json(
        out / RESULT,
        {
            "learning_rate": suggestion.rate if suggestion else None,
            "rule": suggestion.rule if suggestion else None,
            "suggestion": suggestion._asdict() if suggestion else None,
            "own": shown.own,
            "seconds": round(shown.seconds, 1),
            "points": [point._asdict() for point in points],
        },
    )
    page.write(shown, out / PAGE)
    return shown
