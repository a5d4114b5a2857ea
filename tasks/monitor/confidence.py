"""The confidence of a version that classifies, tags or extracts answers: scores of the probabilities of one answer.

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
    """Those of `labels`, and of answers in a text, that all the evaluation's answers have probabilities of."""
    every = [row.get("probabilities") or {} for row in predictions] or [{}]
    known = [*labels, *(column for column in every[0] if is_whole(every[0], column))]
    return [label for label in known if all(label in columns for columns in every)]


def is_whole(probabilities: Probabilities | None, label: str) -> bool:
    """Whether the probabilities are of an answer as a whole, and of no classes."""
    return set((probabilities or {}).get(label) or ()) == {GIVEN, OTHER}


def streams_of(label: str) -> list[Stream]:
    """The confidence of the answers, and the probability of the right class where a person gave it."""
    return [
        Stream(f"{label} confidence", f"confidence in {label}", "both", "answer"),
        Stream(f"{label} entropy", f"confidence in {label}", "both", "answer"),
        Stream(f"{label} surprise", f"calibration of {label}", "both", "label"),
    ]


def marks_of(form: AnswerFormat, predictions: Sequence[TestAnswer]) -> list[str]:
    """The column of entities, where the evaluation's answers have probabilities of them."""
    is_told = isinstance(form, EntityAnswer) and any(row.get("probabilities") for row in predictions)
    return list(form.columns) if is_told else []


def streams_of_marks(column: str) -> list[Stream]:
    """How sure the answers are of the entities that they mark."""
    return [Stream(f"{column} confidence", f"least sure of {column}", "both", "answer")]


def least(probabilities: Probabilities | None) -> float | None:
    """The probability of the entity that is marked least surely; None where none is."""
    return min((p for _, p in entities.likeliest(probabilities or {}).values()), default=None)


def top(probabilities: Probabilities | None, label: str) -> float | None:
    """The probability of the likeliest class, or of the answer."""
    shares = (probabilities or {}).get(label)
    if shares and is_whole(probabilities, label):
        return shares[GIVEN]
    return max(shares.values()) if shares else None


def entropy(probabilities: Probabilities | None, label: str) -> float | None:
    """How far the probability is spread over the classes, in nats."""
    shares = (probabilities or {}).get(label)
    return -sum(share * math.log(share) for share in shares.values() if share > 0) if shares else None


def of_right(probabilities: Probabilities | None, right: Mapping[str, str], label: str) -> float | None:
    """The probability of the class that a person gave as right; None without probabilities, or if nobody did."""
    shares, name = (probabilities or {}).get(label), right.get(label)
    if not shares or not isinstance(name, str):
        return None
    return {clean(known): share for known, share in shares.items()}.get(clean(name), 0.0)


def is_right(probabilities: Probabilities | None, right: Mapping[str, str], label: str) -> bool:
    """Whether the likeliest class, or the answer, is the right one."""
    if is_whole(probabilities, label):
        return right.get(label) == GIVEN
    return (of_right(probabilities, right, label) or 0.0) >= (top(probabilities, label) or 0.0)


def surprise(probabilities: Probabilities | None, right: Mapping[str, str], label: str) -> float | None:
    """How little the right class was expected, in nats."""
    share = of_right(probabilities, right, label)
    return None if share is None else -math.log(max(share, LEAST))
