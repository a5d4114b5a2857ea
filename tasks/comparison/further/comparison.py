"""Compares a model with everything that answered its held-out rows: the stages' contestants and the further ones."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from tasks.comparison import contestants
from tasks.comparison.contestants import CONTESTANTS
from tasks.comparison.further.place import Place, code
from tasks.comparison.paces import paces
from tasks.comparison.worth import figure, worth
from tasks.dataset import answered
from tasks.dataset.prepared import rows_of
from tasks.dataset.rows import Answered
from tasks.files import read_json, sha256, write_json
from tasks.formats.answer import example_in, format_in
from tasks.stages.evaluate import measures
from tasks.stages.evaluate.comparison import compare
from tasks.stages.evaluate.measures.measure import Measure, Rows
from tasks.stages.evaluate.paired import ALL_LABELS, Leads, PairedRows, contested, leads, over_all
from tasks.stages.evaluate.predictions import known_classes, read

COMPARES = (
    *("comparison/contestants.py", "comparison/further", "comparison/measure_names.py", "comparison/paces.py"),
    *("comparison/worth.py", "dataset/answered.py", "stages/evaluate", "stages/evaluate/measures"),
)
FILES = (answered.FILE, answered.TIMING)


class Comparison(Leads):
    """The content of comparison.json, without the hashes of its inputs."""

    sentence: str
    rows: int
    chosen: dict[str, str]
    seconds_per_answer: dict[str, float]
    unanswered: dict[str, str]


def load(place: Place) -> Comparison:
    """The comparison; AnnealError when there is none."""
    return cast(Comparison, read_json(file(place)))


def file(place: Place) -> Path:
    """Where the comparison is."""
    return place.further / "comparison.json"


def bring(place: Place, reasons: Mapping[str, str]) -> bool:
    """Write comparison.json unless it is up to date; returns whether it was written.

    `reasons`: why each further contestant did not answer, empty if it did.
    """
    folders = contestants.folders(place.reports)
    folders |= {who: place.further / who for who, reason in reasons.items() if not reason}
    files = [folder / name for folder in folders.values() for name in FILES]
    made_of = {
        "answers": {str(path.relative_to(place.reports)): sha256(path) for path in files if path.exists()},
        "prepared": sha256(place.prepared),
        **({"teller": sha256(place.cascade_reports / answered.TIMING)} if place.cascade_reports else {}),
        "evaluate": place.evaluate.model_dump(mode="json"),
        "code": code(COMPARES),
        "cores": os.cpu_count() or 1,
    }
    if file(place).exists() and read_json(file(place)).get("made_of") == made_of:
        return False
    write_json(file(place), {"made_of": made_of, **_compared(place, folders, reasons)})
    return True


def _compared(place: Place, folders: Mapping[str, Path], reasons: Mapping[str, str]) -> Comparison:
    params, spec = place.evaluate, read_json(place.prepared / "format.json")
    form, example = format_in(spec), example_in(spec)
    classes = known_classes(rows_of(place.prepared), form, params.labels)
    predictions = {who: read(rows, form, classes) for who, rows in _answers(place, folders).items()}
    on = contested(params, measures.of(params, form, example), example)
    table = {measure.name: measure for measure in on.values()}
    rows = {who: measures.rows(table, given) for who, given in predictions.items()}
    won = leads(predictions, rows, params, on)
    for contest in won:
        for who, rival in contest["others"].items():
            rival["p"] = _p(contest["what"], rows[contestants.TUNED], rows[who], on)
    timings = {who: read_json(folders[who] / answered.TIMING) for who in predictions}
    seconds = paces({who: folders[who] for who in predictions}, place.cascade_reports)
    lead = Leads(confidence=params.confidence, contests=won)
    return {
        "sentence": sentence(lead, seconds),
        "rows": len(predictions[contestants.TUNED]),
        "chosen": {who: _chosen(timing) for who, timing in timings.items() if "k" in timing},
        "seconds_per_answer": seconds,
        "unanswered": {who: reason for who, reason in reasons.items() if reason},
        **lead,
    }


def _answers(place: Place, folders: Mapping[str, Path]) -> dict[str, list[Answered]]:
    own = contestants.folders(place.reports)
    answers = contestants.answers(own)
    further = {who: answered.read(folders[who]) for who in folders if who not in own}
    for who, rows in further.items():
        contestants.check_pairs(answers[contestants.TUNED], rows, CONTESTANTS[who].words)
    return answers | further


def _chosen(timing: Mapping[str, Any]) -> str:
    """How many rows are used, and why."""
    shares = ", ".join(f"{k}: {100 * timing['tried'][k]:.1f} %" for k in sorted(timing["tried"], key=int))
    return f"{timing['k']} per row, chosen on {timing['tried_on']} (labels right by {shares or 'none'})"


def _p(what: str, ours: Mapping[str, Rows], theirs: Mapping[str, Rows], on: Mapping[str, Measure]) -> float:
    """The one-sided p of the measure's paired test that the tuned model is no better."""
    every = on if what == ALL_LABELS else {what: on[what]}
    pair = over_all([PairedRows(name, of, ours[of.name], theirs[of.name]) for name, of in every.items()])
    return compare(pair.measure, pair.tuned, pair.theirs).p


def sentence(lead: Leads, seconds: Mapping[str, float]) -> str:
    """Who is best of all, and whether tuning is shown to be better than the best without."""
    known = worth(lead, seconds, os.cpu_count() or 1)
    if known is None:
        return "Nothing else can answer these rows, so there is nothing to compare with."
    first = known["contests"][0]
    best = first["standings"][0]["value"]
    names = " and ".join(CONTESTANTS[each["who"]].rival for each in first["standings"] if each["value"] == best)
    return f"Best of all, at {figure(best, first['measure'])}: {names}. {known['sentence']}"
