"""Measures the tuned model and everything it is compared with on the same rows, from their stored answers."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from tasks import stage
from tasks.comparison import contestants
from tasks.dataset.prepared import rows_of
from tasks.files import read_json, whole_directory, write_json, write_text
from tasks.formats.answer import Classes, example_in, format_in
from tasks.sandbox import run as sandbox
from tasks.stages.evaluate import code, measures
from tasks.stages.evaluate.classes import pairs, per_class_f1
from tasks.stages.evaluate.comparison import interval
from tasks.stages.evaluate.measures.measure import slug
from tasks.stages.evaluate.paired import contested, leads
from tasks.stages.evaluate.params import Evaluate
from tasks.stages.evaluate.predictions import Prediction, known_classes, read


def evaluate(params: Evaluate, prepared: Path, reports: Path, out: Path) -> None:
    """Write to `out/` what `contest` does, for the contestants whose answers are in `reports`."""
    contest(params, prepared, contestants.folders(reports), out)


def contest(params: Evaluate, prepared: Path, folders: Mapping[str, Path], out: Path) -> None:
    """Write to `out/`: metrics.json, intervals.json, measures.json, leads.json, confusion/<label>.csv,
    per_class_f1/<label>.csv.

    `folders` are those with the answers to the same rows, by contestant.
    """
    spec = read_json(prepared / "format.json")
    form, example = format_in(spec), example_in(spec)
    classes = known_classes(rows_of(prepared), form, params.labels)
    predictions = {who: read(given, form, classes) for who, given in contestants.answers(folders).items()}
    if params.tests:
        code.check(predictions["tuned"], params.tests)
    table = measures.of(params, form, example)
    rows = {who: measures.rows(table, given) for who, given in predictions.items()}
    metrics = {who: {name: table[name].value(scores) for name, scores in given.items()} for who, given in rows.items()}
    intervals = {
        who: {name: interval(table[name], scores, params) for name, scores in given.items()}
        for who, given in rows.items()
    }
    facts = {
        name: {"unit": measure.unit, "higher_is_better": measure.higher_is_better, "kind": measure.kind}
        for name, measure in table.items()
        if any(name in figures for figures in metrics.values())
    }
    won = leads(predictions, rows, params, contested(params, table, example))
    with whole_directory(out) as folder:
        write_json(folder / "leads.json", {"confidence": params.confidence, "contests": won})
        write_json(folder / "metrics.json", {"rows": len(predictions["tuned"]), **metrics})
        write_json(folder / "intervals.json", {"confidence": params.confidence, **intervals})
        told: dict[str, object] = {"classes": {label: sorted(known) for label, known in classes.items()}}
        if params.tests:
            ran = code.outcomes(predictions, params.tests)
            told["code"] = {"outcomes": ran, "unprotected": sandbox.unprotected()}
        write_json(folder / "measures.json", {"measures": facts, **told})
        for plots in ("confusion", "per_class_f1"):  # DVC wants what is declared, also where there is no label
            (folder / plots).mkdir()
        for label in params.labels:
            _write_classes(predictions, label, classes, folder)


def _write_classes(predictions: Mapping[str, Sequence[Prediction]], label: str, classes: Classes, folder: Path) -> None:
    told = {who: pairs(predictions[who], label, classes) for who in contestants.ALWAYS}
    _write_csv(folder / "confusion" / f"{slug(label)}.csv", ["actual", "predicted"], zip(*told["tuned"], strict=True))
    scores = {who: per_class_f1(*pair) for who, pair in told.items()}
    rows = ((name, scores["parent"][name], scores["tuned"][name]) for name in scores["tuned"])
    _write_csv(folder / "per_class_f1" / f"{slug(label)}.csv", ["class", "parent", "tuned"], rows)


def _write_csv(path: Path, header: list[str], rows: Iterable[Iterable[object]]) -> None:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(header)
    table.writerows(rows)
    write_text(path, text.getvalue())


if __name__ == "__main__":
    stage.main(evaluate, Evaluate, "models.{row}.evaluate")
