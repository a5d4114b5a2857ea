"""Scores answers row by row, then as means with bootstrap intervals; pure functions of predictions."""

import json
import math
from collections.abc import Callable

import numpy as np

from tasks.evaluate.params import Evaluate


def parse(text: str, keys: list[str]) -> dict | None:
    """The JSON object in `text`, or None unless it is exactly one object whose `keys` all hold texts."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):  # a model that repeats itself writes a thousand brackets
        return None
    if not isinstance(value, dict) or not all(isinstance(value.get(key), str) for key in keys):
        return None
    return value


def score_rows(predictions: list[dict], params: Evaluate) -> dict[str, np.ndarray]:
    """One array (rows,) a measure: `valid_json`, `<label>_accuracy` (0 or 1) and `<text>_rouge_l` (0 to 1).

    An answer that is not valid scores 0 everywhere. ROUGE-L is the F-measure of Lin 2004 (rouge-score, with stemming).
    """
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(["rougeL"], use_stemmer=True)
    keys = [*params.labels, *params.texts]
    answers = [parse(row["text"], keys) or {} for row in predictions]
    scores = {"valid_json": np.array([bool(answer) for answer in answers], float)}
    if not keys:
        scores = {"exact_match": np.array([row["text"].strip() == row["expected"].strip() for row in predictions], float)}
    for label in params.labels:
        scores[f"{label}_accuracy"] = np.array([answer.get(label) == row["row"][label] for answer, row in zip(answers, predictions, strict=True)], float)
    for text in params.texts:
        found = [scorer.score(row["row"][text], answer.get(text, ""))["rougeL"].fmeasure for answer, row in zip(answers, predictions, strict=True)]
        scores[f"{text}_rouge_l"] = np.array(found)
    return scores


def classes(predictions: list[dict], label: str, params: Evaluate) -> tuple[list[str], list[str]]:
    """(actual, predicted) classes of `label`; `(none)` where the answer is not valid or names no known class."""
    actual = [row["row"][label] for row in predictions]
    known = set(actual)
    answers = [parse(row["text"], [*params.labels, *params.texts]) or {} for row in predictions]
    predicted = [answer.get(label, "(none)") for answer in answers]
    return actual, [value if value in known else "(none)" for value in predicted]


def macro_f1(actual: list[str], predicted: list[str]) -> float:
    """The unweighted mean of the classes' F1, over the classes that occur in `actual`."""
    return float(np.mean(list(per_class_f1(actual, predicted).values())))


def per_class_f1(actual: list[str], predicted: list[str]) -> dict[str, float]:
    """F1 = 2 TP / (2 TP + FP + FN) of each class in `actual`."""
    from sklearn.metrics import f1_score

    names = sorted(set(actual))
    return dict(zip(names, f1_score(actual, predicted, labels=names, average=None, zero_division=0).tolist(), strict=True))


def measure(predictions: list[dict], params: Evaluate) -> tuple[dict[str, float], dict[str, list[float]]]:
    """(metrics, intervals): every mean, macro-F1 of each label and perplexity on the answer, each with its interval."""
    rows = score_rows(predictions, params)
    nll, tokens = (np.array([row[name] for row in predictions], float) for name in ("nll", "tokens"))
    measures: dict[str, Callable[[np.ndarray], float]] = {name: (lambda chosen, values=values: float(values[chosen].mean())) for name, values in rows.items()}
    for label in params.labels:
        actual, predicted = map(np.array, classes(predictions, label, params))
        measures[f"{label}_macro_f1"] = lambda chosen, a=actual, p=predicted: macro_f1(a[chosen].tolist(), p[chosen].tolist())
    measures["perplexity"] = lambda chosen: math.exp(min(700.0, nll[chosen].sum() / tokens[chosen].sum()))
    everything = np.arange(len(predictions))
    metrics = {name: value(everything) for name, value in measures.items()}
    intervals = {}
    for name, value in measures.items():
        is_share = name in rows and set(np.unique(rows[name])) <= {0.0, 1.0}
        intervals[name] = share_interval(rows[name], params.confidence) if is_share else interval(value, len(predictions), params)
    return metrics, intervals


def share_interval(hits: np.ndarray, confidence: float) -> list[float]:
    """[low, high] of a share by Wilson 1927: unlike the bootstrap it has a width when all rows agree."""
    from scipy.stats import binomtest

    found = binomtest(int(hits.sum()), len(hits)).proportion_ci(confidence, method="wilson")
    return [float(found.low), float(found.high)]


def interval(value: Callable[[np.ndarray], float], rows: int, params: Evaluate) -> list[float]:
    """[low, high] of `value` by the percentile bootstrap over rows (Efron & Tibshirani 1993, ch. 13), seeded."""
    chance = np.random.default_rng(params.seed)
    found = [value(chance.integers(0, rows, rows)) for _ in range(params.bootstrap_resamples)]
    tail = (1 - params.confidence) / 2
    return [float(edge) for edge in np.quantile(found, [tail, 1 - tail])]
