"""The figures of a check: what the latest requests of a version look like beside its reference."""

from collections import Counter

import numpy as np

from tasks.evaluate.measures.measure import named
from tasks.monitor import texts
from tasks.monitor.embedding import nearest, novelty
from tasks.monitor.mmd import mmd
from tasks.monitor.params import Monitor
from tasks.monitor.scores import Scores
from tasks.monitor.streams import OTHER

EXACT_MATCH = "exact_match"
MOST_POINTS = 500  # of each side in the two-sample test


def of_inputs(scores: Scores, inputs: list[dict], vectors: np.ndarray) -> dict[str, float]:
    """Medians and shares of some requests; nothing for none."""
    if not inputs:
        return {}
    asked = scores.asked(inputs)
    new = [share for text in asked if (share := texts.new_words(text, scores.vocabulary)) is not None]
    surprise = [bits for text in asked if (bits := scores.spelling.surprise(text)) is not None]
    incomplete = [mark for request in inputs if (mark := texts.is_incomplete(request, scores.columns)) is not None]
    figures = {
        "length_median": float(np.median([len(text) for text in asked])),
        "new_words": _mean(new),
        "letter_surprise": _mean(surprise),
        "other_language": _mean([texts.language(text) != scores.language for text in asked]),
        "missing_fields": _mean(incomplete),
        "novelty": float(novelty(vectors, scores.vectors).mean()),
    }
    about = Counter(scores.subjects[nearest(vectors, scores.vectors)].tolist())
    figures |= {f"subject={name}": about[name] / len(inputs) for name in sorted(set(scores.subjects.tolist()))}
    return {name: value for name, value in figures.items() if value is not None}


def of_answers(scores: Scores, answers: list[str]) -> dict[str, float]:
    """Class shares, length, refusals and validity of some answers; nothing for none."""
    if not answers:
        return {}
    read = [scores.form.read(text) for text in answers]
    figures = {
        "answer_length_median": float(np.median([len(scores.as_logged(text)) for text in answers])),
        "refusals": _mean([texts.is_refusal(text) for text in answers]),
    }
    figures |= {"valid": _mean([scores.is_valid(text) for text in answers]), "valid_n": float(len(read))}
    for label, classes in scores.labels.items():
        counts = Counter(scores.class_of(answer, label) for answer in read)
        figures |= {f"{label}={name}": counts[name] / len(read) for name in (*classes, OTHER)}
    return figures


def of_labels(scores: Scores, pairs: list[tuple[str, dict]]) -> dict[str, float]:
    """`{label}_accuracy` over (answer, right answer by column), `exact_match` where answers have no labels; each
    with its `_n`.
    """
    marks = {named(label, "accuracy"): scores.wrong(pairs, label) for label in scores.labels} or {
        EXACT_MATCH: scores.wrong(pairs)
    }
    figures: dict[str, float] = {}
    for name, wrong in marks.items():
        if known := [not mark for mark in wrong if mark is not None]:
            figures |= {name: float(np.mean(known)), f"{name}_n": float(len(known))}
    return figures


def of_service(rows: list[dict]) -> dict[str, float]:
    """Error rate and latency of some requests; what to do about them is Prometheus' business."""
    seconds = [row["latency"] for row in rows if row["latency"] is not None]
    figures = {"error_rate": _mean([row["status"] >= 500 for row in rows])} if rows else {}
    return figures | (
        {"latency_p50": float(np.quantile(seconds, 0.5)), "latency_p95": float(np.quantile(seconds, 0.95))}
        if seconds
        else {}
    )


def of_reference(scores: Scores) -> dict[str, float]:
    """The same figures of the reference: rows that the scores were not fitted on, and the evaluation's answers."""
    inputs, tests = scores.held_out(), scores.reference.predictions
    asked = of_inputs(scores, inputs, scores.embed(scores.asked(inputs)))
    return asked | of_answers(scores, [row["text"] for row in tests]) | of_labels(scores, scores.marked_tests())


def distance(scores: Scores, vectors: np.ndarray, params: Monitor) -> dict[str, float]:
    """`mmd` and `mmd_p` between the latest requests and the reference; nothing for fewer than 20 requests."""
    if len(vectors) < 20:
        return {}
    known = scores.embed(scores.asked(scores.held_out()))[:MOST_POINTS]
    value, p = mmd(known, vectors[-MOST_POINTS:], params.permutations)
    return {"mmd": value, "mmd_p": p}


def _mean(values: list) -> float | None:
    return float(np.mean(values)) if values else None
