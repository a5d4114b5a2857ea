"""Asks the tuned model the held-out rows and measures it and its parent on the same rows, template and decoding."""

import csv
import io
from pathlib import Path

from tasks import stage
from tasks.answers import answer
from tasks.errors import AnnealError
from tasks.evaluate.metrics import classes, measure, per_class_f1
from tasks.evaluate.params import Evaluate
from tasks.files import read_jsonl, whole_directory, write_json, write_jsonl, write_text


def evaluate(params: Evaluate, parent: Path, trained: Path, prepared: Path, baseline: Path, out: Path) -> None:
    """Write to `out/`: predictions.jsonl, metrics.json, intervals.json, timing.json, confusion/<label>.csv, per_class_f1/<label>.csv."""
    rows = read_jsonl(prepared / "test.jsonl")
    for key in [*params.labels, *params.texts]:
        if key not in rows[0]["row"]:
            raise AnnealError(f"params.yaml: evaluate names `{key}`, which the rows do not have ({', '.join(rows[0]['row'])}).")
    answers = answer(parent, trained, rows, params.per_device_eval_batch_size, params.max_new_tokens, "tuned")
    predictions = {"parent": read_jsonl(baseline / "predictions.jsonl"), "tuned": answers.predictions}
    measured = {who: measure(found, params) for who, found in predictions.items()}
    with whole_directory(out) as folder:
        write_jsonl(folder / "predictions.jsonl", answers.predictions)
        write_json(folder / "metrics.json", {"rows": len(rows), **{who: metrics for who, (metrics, _) in measured.items()}})
        write_json(folder / "intervals.json", {who: intervals for who, (_, intervals) in measured.items()})
        write_json(folder / "timing.json", {"seconds_per_answer": answers.seconds / len(rows)})
        for label in params.labels:
            _write_classes(predictions, label, params, folder)


def _write_classes(predictions: dict[str, list[dict]], label: str, params: Evaluate, folder: Path) -> None:
    pairs = {who: classes(found, label, params) for who, found in predictions.items()}
    _write_csv(folder / "confusion" / f"{label}.csv", ["actual", "predicted"], zip(*pairs["tuned"], strict=True))
    scores = {who: per_class_f1(*pair) for who, pair in pairs.items()}
    _write_csv(folder / "per_class_f1" / f"{label}.csv", ["class", "parent", "tuned"], ((name, scores["parent"][name], scores["tuned"][name]) for name in scores["tuned"]))


def _write_csv(path: Path, header: list[str], rows: object) -> None:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(header)
    table.writerows(rows)
    write_text(path, text.getvalue())


if __name__ == "__main__":
    stage.main(evaluate, Evaluate, "models.{row}.evaluate")
