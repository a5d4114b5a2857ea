"""Contestants against the tuned model on the same rows: its lead on each label and over all of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NotRequired, TypedDict

import numpy as np

from tasks.stages.evaluate import measures
from tasks.stages.evaluate.measures.measure import Measure, Rows, named
from tasks.stages.evaluate.params import Evaluate
from tasks.stages.evaluate.predictions import Prediction

# The share of a row's labels that is right; of these a paired permutation test.
RIGHT = Measure(
    "labels_right",
    "share of labels",
    True,
    "score",
    lambda rows: np.empty(0),
    shares=lambda first, second: (first - second) / len(first),
)
ALL_LABELS = "all labels"


class Rival(TypedDict):
    """A contestant's value, and by how much the tuned model leads, with the interval of the paired difference; `p` is
    that of a comparison made manually.
    """

    value: float
    lead: float
    interval: list[float]
    tells_all: bool
    p: NotRequired[float]


class Contest(TypedDict):
    """The tuned model against its rivals, on one label or over all."""

    what: str
    measure: str
    higher_is_better: bool
    tuned: float
    others: dict[str, Rival]


class Leads(TypedDict):
    """What leads.json holds."""

    confidence: float
    contests: list[Contest]


@dataclass(frozen=True)
class PairedRows:
    """Two models' rows of one measure; `what` it is of, a label, as a person knows it."""

    what: str
    measure: Measure
    tuned: Rows
    theirs: Rows

    @property
    def lead(self) -> float:
        """By how much the tuned model is better, in the measure's unit."""
        return self._lead(np.arange(len(self.tuned)))

    def interval(self, params: Evaluate) -> list[float]:
        """[low, high] of the lead by the paired bootstrap over rows (Efron & Tibshirani 1993), seeded."""
        chance, count = np.random.default_rng(params.seed), len(self.tuned)
        leads = [self._lead(chance.integers(0, count, count)) for _ in range(params.bootstrap_resamples)]
        tail = (1 - params.confidence) / 2
        return [float(edge) for edge in np.quantile(leads, [tail, 1 - tail])]

    def _lead(self, places: Any) -> float:
        gain = self.measure.value(self.tuned[places]) - self.measure.value(self.theirs[places])
        return float(gain if self.measure.higher_is_better else -gain)


def paired_rows(what: str, measure: Measure, tuned: Sequence[Prediction], theirs: Sequence[Prediction]) -> PairedRows:
    """The rows of one measure of both."""
    return PairedRows(what, measure, measure.rows(tuned), measure.rows(theirs))


def predicted_labels(labels: Sequence[str], predictions: Sequence[Prediction]) -> list[str]:
    """Those of `labels` that the predictions contain."""
    columns = predictions[0].columns
    return [label for label in labels if columns is None or label in columns]


def over_all(pairs: Sequence[PairedRows]) -> PairedRows:
    """The mean of several labels of each row: the share of its labels that is right. Of one measure, itself."""
    if len(pairs) == 1:
        return pairs[0]
    tuned, theirs = (np.mean([getattr(pair, who) for pair in pairs], axis=0) for who in ("tuned", "theirs"))
    return PairedRows(ALL_LABELS, RIGHT, tuned, theirs)


def contested(params: Evaluate, table: Mapping[str, Measure], example: str) -> dict[str, Measure]:
    """What the standings are on: the accuracy of each label, or the gate's measure if there are no labels."""
    if params.labels:
        return {label: table[named(label, "accuracy")] for label in params.labels}
    name = measures.compared_on(params, example)
    return {name: table[name]}


def leads(
    predictions: Mapping[str, Sequence[Prediction]],
    rows: Mapping[str, Mapping[str, Rows]],
    params: Evaluate,
    on: Mapping[str, Measure],
) -> list[Contest]:
    """The standings on each of `contested`, and over all labels. `rows` are those of each contestant's measures."""
    ours, others = rows["tuned"], {who: theirs for who, theirs in predictions.items() if who != "tuned"}
    of = {
        who: [
            PairedRows(what, measure, ours[measure.name], rows[who][measure.name])
            for what, measure in on.items()
            if measure.name in ours.keys() & rows[who].keys()
        ]
        for who in others
    }
    every = {who: [*([over_all(pairs)] if _is_whole(pairs, params) else []), *pairs] for who, pairs in of.items()}
    met = [what for what in (ALL_LABELS, *on) if any(_of(what, pairs) for pairs in every.values())]
    return [_contest(what, every, others, params) for what in met]


def _is_whole(pairs: Sequence[PairedRows], params: Evaluate) -> bool:
    return 1 < len(pairs) == len(params.labels)


def _of(what: str, pairs: Sequence[PairedRows]) -> PairedRows | None:
    return next((pair for pair in pairs if pair.what == what), None)


def _contest(
    what: str,
    every: Mapping[str, Sequence[PairedRows]],
    others: Mapping[str, Sequence[Prediction]],
    params: Evaluate,
) -> Contest:
    pairs = {who: pair for who, known in every.items() if (pair := _of(what, known))}
    first = next(iter(pairs.values()))
    rivals = {
        who: Rival(
            value=pair.measure.value(pair.theirs),
            lead=pair.lead,
            interval=pair.interval(params),
            tells_all=others[who][0].columns is None,
        )
        for who, pair in pairs.items()
    }
    return Contest(
        what=what,
        measure=first.measure.name,
        higher_is_better=first.measure.higher_is_better,
        tuned=first.measure.value(first.tuned),
        others=rivals,
    )
