"""Writes the report of a run, verdict first, as one self-contained HTML file."""

import csv
import os
from datetime import datetime
from pathlib import Path

from tasks import pages, paths
from tasks.comparison import contestants
from tasks.comparison.contestants import PARENT, TUNED
from tasks.comparison.measure_names import words
from tasks.dataset import answered
from tasks.files import read_json, write_text
from tasks.formats.answer import AnswerFormat, Continuation
from tasks.stages.evaluate.measures.measure import slug
from tasks.steps.report import calibration, code, confusion, glossary, plots
from tasks.steps.report.headline import checks, evidence, headline, measures
from tasks.steps.report.reward_plot import reward_curves
from tasks.steps.report.samples import choose, right_means, system_prompt, tally
from tasks.steps.report.standings import measured, standings
from tasks.steps.report.summary import Summary, confidence_of

TEMPLATE = Path(__file__).with_name("page.html.jinja")


def write_report(summary: Summary, reports: Path, form: AnswerFormat, out: Path) -> None:
    """Put one self-contained page at `out` (`reports/<model>/index.html`): the same inputs, the same bytes.

    `reports` holds the folders that the stages train, baseline, predict and evaluate wrote; `summary` is what
    summary.json holds, `form` how the model's answers are read.
    """
    train = reports / "train"
    curves = read_csv(train / "loss.csv")
    others = measures(summary["evaluation"], measured(summary.get("worth")))
    template = pages.template(TEMPLATE, words=words, duration=duration, day=day, dollars=dollars, unit=glossary.unit)
    page = template.render(
        summary={"worth": None, "cascade": None, "origin": None, **summary},
        headline=headline(summary),
        evidence=evidence(summary),
        standings=standings(summary.get("worth"), summary["evaluation"]),
        measures=others,
        meanings=glossary.meanings(measure.name for measure in others),
        ran=code.sentences(summary["evaluation"]),
        checks=checks(summary),
        loss=reward_curves(curves) or plots.loss_curves(curves),
        stopped=read_json(train / "metrics.json").get("stopped") if (train / "metrics.json").exists() else None,
        guards=read_json(train / "guards.json") if (train / "guards.json").exists() else [],
        lengths=plots.length_histograms(read_csv(train / "lengths.csv")),
        xray=os.path.relpath(train / "xray.html", out.parent) if (train / "xray.html").exists() else None,
        where=[
            (name, str(place), str(place).startswith(("https://", "http://")))
            for name, place in summary["where"].items()
        ],
        slowest=max([stage["seconds"] or 0 for stage in summary["stages"]], default=0) or 1,
        total=sum(stage["seconds"] or 0 for stage in summary["stages"]),
        **_answers(reports, form, confidence_of(summary["evaluation"])),
    )
    write_text(out, page)


def read_csv(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file with a header; none when there is no such file."""
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def duration(seconds: float | None) -> str:
    """`seconds` as a person says it: `0.4 s`, `12 s`, `3 min 05 s`, `2 h 10 min`."""
    if seconds is None:
        return "–"
    if seconds < 10:
        return f"{seconds:.2g} s" if seconds < 1 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes == 0:
        return f"{rest} s"
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def dollars(cost: float | None) -> str:
    """A price: `$1.50`, `$0.012`, `under $0.001`; – where it is not known."""
    if cost is None:
        return "–"
    if cost >= 1:
        return f"${cost:.2f}"
    return f"${cost:.2g}" if cost >= 0.001 else "under $0.001" if cost else "nothing"


def day(moment: str) -> str:
    """An ISO 8601 `moment` as `24 November 2026, 07:00 UTC`; the text itself when it is none."""
    try:
        when = datetime.fromisoformat(moment)
    except ValueError:
        return moment
    return f"{when.day} {when:%B %Y, %H:%M} {when.tzname() or ''}".strip()


def _answers(reports: Path, form: AnswerFormat, confidence: float) -> dict[str, object]:
    """What the page shows of the answers themselves: matrices, F1 of each class and samples; `confidence` of
    intervals.
    """
    tuned, parent = (answered.read(contestants.folders(reports)[who]) for who in (TUNED, PARENT))
    evaluate = paths.evaluation(reports)
    pairs = {path.stem: read_csv(path) for path in sorted((evaluate / "confusion").glob("*.csv"))}
    pairs = dict(
        sorted(pairs.items(), key=lambda item: len({row["actual"] for row in item[1]}))
    )  # the small matrices fit beside each other
    scores = {label: read_csv(evaluate / "per_class_f1" / f"{label}.csv") for label in pairs}
    labels = [column for column in form.columns if slug(column) in pairs]
    return {
        "confusions": [confusion.confusion(label, pairs) for label in pairs],
        "calibrations": calibration.calibrations(tuned, form, labels, confidence),
        "misses": calibration.misses(tuned, form, labels),
        "f1": [plots.class_scores(label, scores[label], pairs[label]) for label in pairs if scores[label]],
        "samples": choose(tuned, parent, form, labels),
        "system": system_prompt(tuned),
        "tally": tally(tuned, parent, form, labels),
        "labels": labels,
        "right_means": right_means(form, labels),
        "sees": any("image_file" in row["row"] for row in tuned),
        "goes_on": isinstance(form, Continuation),
    }
