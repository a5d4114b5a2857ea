"""The figures of a check: the latest requests of a version beside its reference."""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from tasks.formats import entities
from tasks.monitor import confidence, residuals, texts
from tasks.monitor.embedding import nearest, novelty
from tasks.monitor.martingale import Floats
from tasks.monitor.mmd import mmd
from tasks.monitor.params import Monitor
from tasks.monitor.residuals import Pairs
from tasks.monitor.scores import Scores
from tasks.monitor.streams import OTHER
from tasks.records.database_rows import Input, LoggedRequest, Probabilities
from tasks.stages.evaluate.measures.measure import named

EXACT_MATCH = "exact_match"
MOST_POINTS = 500  # of each side in the two-sample test


def of_inputs(scores: Scores, inputs: Sequence[Input], vectors: Floats) -> dict[str, float]:
    """Return medians and shares of requests; nothing without requests, or for images."""
    if not inputs or scores.reads_images:
        return {}
    request_texts = scores.request_texts(inputs)
    new_words = [share for text in request_texts if (share := texts.new_words(text, scores.vocabulary)) is not None]
    surprises = [bits for text in request_texts if (bits := scores.spelling.surprise(text)) is not None]
    incomplete = [mark for request in inputs if (mark := texts.is_incomplete(request, scores.columns)) is not None]
    figures = {
        "length_median": float(np.median([len(text) for text in request_texts])),
        "new_words": _mean(new_words),
        "letter_surprise": _mean(surprises),
        "other_language": _mean([texts.language(text) != scores.language for text in request_texts]),
        "missing_fields": _mean(incomplete),
        "novelty": float(novelty(vectors, scores.vectors).mean()),
    }
    subjects = Counter(scores.subjects[nearest(vectors, scores.vectors)].tolist())
    figures |= {f"subject={name}": subjects[name] / len(inputs) for name in sorted(set(scores.subjects.tolist()))}
    return {name: value for name, value in figures.items() if value is not None}


def of_answers(scores: Scores, answers: list[str]) -> dict[str, float]:
    """Return class shares, length, refusals and validity of answers; nothing without answers."""
    if not answers:
        return {}
    read = [scores.form.read(text) for text in answers]
    figures: dict[str, float] = {
        "answer_length_median": float(np.median([len(scores.as_logged(text)) for text in answers])),
        "refusals": float(np.mean([texts.is_refusal(text) for text in answers])),
    }
    figures |= residuals.figures_of_answers(scores.form, answers)
    valid = [scores.is_valid(text) for text in answers]
    figures |= {"valid": float(np.mean(valid)), "valid_n": float(len(answers))}
    for label, classes in scores.labels.items():
        counts = Counter(scores.class_of(answer, label) for answer in read)
        figures |= {f"{label}={name}": counts[name] / len(read) for name in (*classes, OTHER)}
    return figures


def of_labels(scores: Scores, pairs: Pairs) -> dict[str, float]:
    """Return `{label}_accuracy` over (answer, right answer by column), or `exact_match` if answers have no labels, each
    with its `_n`; for numbers, their errors.
    """
    if residuals.columns_of(scores.form):
        return residuals.figures_of_labels(scores.form, pairs)
    marks = {named(label, "accuracy"): scores.wrong(pairs, label) for label in scores.labels} or {
        EXACT_MATCH: scores.wrong(pairs)
    }
    figures: dict[str, float] = {}
    for name, wrong in marks.items():
        if known := [not mark for mark in wrong if mark is not None]:
            figures |= {name: float(np.mean(known)), f"{name}_n": float(len(known))}
    return figures


def of_confidence(scores: Scores, probabilities: Sequence[Probabilities | None]) -> dict[str, float]:
    """Return, for each label with probabilities, the mean measure the highest one and the mean entropy in nats; for
    entities, the mean measure the lowest probability measure a marked one.
    """
    means = {
        f"{label}_{name}": _mean([value for row in probabilities if (value := measure(row, label)) is not None])
        for label in scores.probability_labels
        for name, measure in (("confidence", confidence.top_probability), ("entropy", confidence.entropy))
    }
    for column in scores.entity_columns:
        means[f"{column}_confidence"] = _mean(
            [value for row in probabilities if (value := confidence.least_sure(row)) is not None]
        )
    return {name: value for name, value in means.items() if value is not None}


def of_calibration(scores: Scores, pairs: Sequence[tuple[Probabilities | None, Mapping[str, str]]]) -> dict[str, float]:
    """Return, over (probabilities, right answer by column), the mean probability of the right class, with its `_n`, and
    mean confidence minus accuracy; corrected answers are not a random sample.
    """
    figures: dict[str, float] = {}
    for label in scores.probability_labels:
        known = [
            (probabilities, right, share)
            for probabilities, right in pairs
            if (share := confidence.right_probability(probabilities, right, label)) is not None
        ]
        if known:
            tops = [confidence.top_probability(probabilities, label) or 0.0 for probabilities, _, _ in known]
            right = [confidence.is_top_right(probabilities, right, label) for probabilities, right, _ in known]
            figures[f"{label}_right_probability"] = float(np.mean([share for _, _, share in known]))
            figures[f"{label}_right_probability_n"] = float(len(known))
            figures[f"{label}_overconfidence"] = float(np.mean(tops) - np.mean(right))
    return figures | _entity_calibration(scores, pairs)


def _entity_calibration(
    scores: Scores, pairs: Sequence[tuple[Probabilities | None, Mapping[str, str]]]
) -> dict[str, float]:
    """Return the same over the marked entities, where a person gave the right ones."""
    figures: dict[str, float] = {}
    for column in scores.entity_columns:
        known = [
            hit
            for probabilities, right in pairs
            if column in right
            for hit in entities.calibration_pairs(probabilities or {}, right[column])
        ]
        if known:
            figures[f"{column}_right_n"] = float(len(known))
            figures[f"{column}_overconfidence"] = float(np.mean([p - is_right for p, is_right in known]))
    return figures


def of_service(rows: Sequence[LoggedRequest]) -> dict[str, float]:
    """Return error rate and latency of requests; Prometheus raises the alarms on them."""
    seconds = [row["latency"] for row in rows if row["latency"] is not None]
    figures = {"error_rate": float(np.mean([row["status"] >= 500 for row in rows]))} if rows else {}
    return figures | (
        {"latency_p50": float(np.quantile(seconds, 0.5)), "latency_p95": float(np.quantile(seconds, 0.95))}
        if seconds
        else {}
    )


def of_reference(scores: Scores) -> dict[str, float]:
    """Return the same figures of the reference: rows that the scores were not fitted on, and the evaluation's
    answers.
    """
    inputs, tests = scores.held_out(), scores.reference.predictions
    requests = of_inputs(scores, inputs, scores.embed(scores.request_texts(inputs)))
    probabilities, pairs = scores.test_probabilities(), scores.test_pairs()
    confidences = of_confidence(scores, probabilities) | of_calibration(
        scores, list(zip(probabilities, scores.right_answers(pairs), strict=True))
    )
    return requests | of_answers(scores, [row["text"] for row in tests]) | of_labels(scores, pairs) | confidences


def distance(scores: Scores, vectors: Floats, params: Monitor) -> dict[str, float]:
    """Return `mmd` and `mmd_p` between the latest requests and the reference; nothing for fewer than 20 requests, or
    for images.
    """
    if len(vectors) < 20 or scores.reads_images:
        return {}
    known = scores.embed(scores.request_texts(scores.held_out()))[:MOST_POINTS]
    value, p = mmd(known, vectors[-MOST_POINTS:], params.permutations)
    return {"mmd": value, "mmd_p": p}


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None
