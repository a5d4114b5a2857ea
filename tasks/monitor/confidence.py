"""Scores of the probabilities of one answer, for a version that classifies, tags or extracts answers.

Of an answer in a text only two things are distinguished: the answer that was given, and any other (see
tasks/formats/spans.py).
"""

import math
from collections.abc import Mapping, Sequence

from tasks.formats import entities
from tasks.formats.answer import AnswerFormat
from tasks.formats.entity_answer import EntityAnswer
from tasks.formats.spans import GIVEN, OTHER
from tasks.monitor.reference import TestAnswer
from tasks.monitor.streams import Stream
from tasks.records.database_rows import Probabilities
from tasks.texts.clean import clean

LEAST = 1.0e-7  # digits of a probability end there


def labels_of(labels: Mapping[str, list[str]], predictions: Sequence[TestAnswer]) -> list[str]:
    """Return the labels, and the columns of extracted answers, for which every answer of the evaluation has
    probabilities.
    """
    by_row = [row.get("probabilities") or {} for row in predictions] or [{}]
    candidates = [*labels, *(column for column in by_row[0] if is_whole(by_row[0], column))]
    return [label for label in candidates if all(label in probabilities for probabilities in by_row)]


def is_whole(probabilities: Probabilities | None, label: str) -> bool:
    """True if the probabilities are of an answer as a whole, not of classes."""
    return set((probabilities or {}).get(label) or ()) == {GIVEN, OTHER}


def streams_of(label: str) -> list[Stream]:
    """Return the streams of a label: the confidence of the answers, and the probability of the right class where a
    person gave it.
    """
    return [
        Stream(f"{label} confidence", f"confidence in {label}", "both", "answer"),
        Stream(f"{label} entropy", f"confidence in {label}", "both", "answer"),
        Stream(f"{label} surprise", f"calibration of {label}", "both", "label"),
    ]


def entity_columns(form: AnswerFormat, predictions: Sequence[TestAnswer]) -> list[str]:
    """Return the column of entities, if the evaluation's answers have probabilities of them."""
    has_probabilities = any(row.get("probabilities") for row in predictions)
    return list(form.columns) if isinstance(form, EntityAnswer) and has_probabilities else []


def entity_streams(column: str) -> list[Stream]:
    """Return the stream of how sure the answers are of the entities that they mark."""
    return [Stream(f"{column} confidence", f"least sure of {column}", "both", "answer")]


def least_sure(probabilities: Probabilities | None) -> float | None:
    """Return the lowest probability of a marked entity; None if no entity is marked."""
    return min((p for _, p in entities.likeliest(probabilities or {}).values()), default=None)


def top_probability(probabilities: Probabilities | None, label: str) -> float | None:
    """Return the probability of the likeliest class, or of the answer."""
    shares = (probabilities or {}).get(label)
    if shares and is_whole(probabilities, label):
        return shares[GIVEN]
    return max(shares.values()) if shares else None


def entropy(probabilities: Probabilities | None, label: str) -> float | None:
    """Return the entropy over the classes in nats."""
    shares = (probabilities or {}).get(label)
    return -sum(share * math.log(share) for share in shares.values() if share > 0) if shares else None


def right_probability(probabilities: Probabilities | None, right: Mapping[str, str], label: str) -> float | None:
    """Return the probability of the class that a person gave as right; None without probabilities or such a class."""
    shares, name = (probabilities or {}).get(label), right.get(label)
    if not shares or not isinstance(name, str):
        return None
    return {clean(known): share for known, share in shares.items()}.get(clean(name), 0.0)


def is_top_right(probabilities: Probabilities | None, right: Mapping[str, str], label: str) -> bool:
    """True if the likeliest class, or the answer, is the right one."""
    if is_whole(probabilities, label):
        return right.get(label) == GIVEN
    return (right_probability(probabilities, right, label) or 0.0) >= (top_probability(probabilities, label) or 0.0)


def surprise(probabilities: Probabilities | None, right: Mapping[str, str], label: str) -> float | None:
    """Return -log of the probability of the right class, in nats; None if it is unknown."""
    share = right_probability(probabilities, right, label)
    return None if share is None else -math.log(max(share, LEAST))
