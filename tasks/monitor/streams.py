"""The score streams of a version, the rows that their functions are fitted on, and the edges of their bins."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tasks.monitor.martingale import BINS, Floats
from tasks.monitor.reference import ReferenceRow, digest

# most classes of a label that gives the subjects; labels with more also have a stream of how rare the answers are
FEW = 8
OTHER = "(other)"
WRONG, EXACT = "answer wrong", "exact match of answers"  # stream and group of answers without labels
RARE_CUT = 0.1  # the cut of what is rare and should stay so


@dataclass(frozen=True)
class Stream:
    """One sequence of scores: `group` is the name shown to people, `side` is how to bet (tasks/monitor/martingale.py),
    `kind` is input, answer, quality or label.
    """

    name: str
    group: str
    side: str
    kind: str
    cut: float = 0.5  # of a class: its share among the rows that the scores are fitted on


OF_REQUESTS = [
    Stream("length", "length of requests", "both", "input"),
    Stream("words", "vocabulary of requests", "high", "input"),
    Stream("spelling", "spelling of requests", "high", "input"),
    Stream("language", "language of requests", "rare", "input", RARE_CUT),
    Stream("novelty", "topics of requests", "high", "input"),
    Stream("missing", "missing fields", "rare", "input", RARE_CUT),
]
OF_ANSWERS = [
    Stream("answer length", "length of answers", "both", "answer"),
    Stream("refusal", "refusals", "rare", "answer", RARE_CUT),
    Stream("invalid", "validity of answers", "rare", "quality", RARE_CUT),
]


def streams_of(
    labels: Mapping[str, list[str]],
    common: Mapping[str, Counter[str]],
    near: Counter[str],
    fitted: int,
    of_numbers: list[Stream],
) -> list[Stream]:
    """Return the streams of a version with `labels` {label: classes}. `common` counts the classes of each label and
    `near` the subjects among the `fitted` rows; `of_numbers` are the streams of answers that are numbers.
    """
    subjects = [
        Stream(f"near {name}", "subjects of requests", "class", "input", cut(near[name], fitted))
        for name in sorted(near)
    ]
    classes = [stream for label, names in labels.items() for stream in _of_label(label, names, common[label])]
    wrong = [Stream(f"{label} wrong", f"accuracy of {label}", "rare", "label", RARE_CUT) for label in labels]
    judged = of_numbers or wrong or [Stream(WRONG, EXACT, "rare", "label", RARE_CUT)]
    return [*OF_REQUESTS, *subjects, *classes, *OF_ANSWERS, *judged]


def _of_label(label: str, classes: list[str], common: Counter[str]) -> list[Stream]:
    group = f"{label} of answers"
    rarity = [Stream(f"{label} rarity", group, "both", "answer")] if len(classes) > FEW else []
    return rarity + [
        Stream(f"{label}: {name}", group, "class", "answer", cut(common[name], common.total()))
        for name in (*classes, OTHER)
    ]


def fit_rows(rows: list[ReferenceRow]) -> list[ReferenceRow]:
    """Return half of the training rows, by the hash of their ids; half of all rows if no split is known."""
    trained = [row for row in rows if row["split"] == "train"] or rows
    return [row for row in trained if digest(f"fit {row['id']}") % 2] or trained[:1]


def cut(count: int, total: int) -> float:
    """Return the cut (see martingale.factors) of a class with `count` of `total` rows."""
    return float(np.clip(count / max(1, total), 0.02, 0.9))


def edges(values: Sequence[float | None]) -> Floats:
    """Return at most BINS - 1 rising edges: at quantiles of `values`, and eight beyond either end for shifted
    scores.
    """
    known = [value for value in values if value is not None] or [0.0]
    low, high = min(known), max(known)
    beyond = (high - low or 0.1 * max(1.0, abs(high))) * 2.0 ** np.arange(-4, 4)
    return np.unique(np.concatenate([low - beyond, np.quantile(known, np.linspace(0, 1, BINS - 17)), high + beyond]))
