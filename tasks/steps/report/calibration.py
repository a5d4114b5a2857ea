"""Draws how often a model was right at each level of confidence, and lists its most confident errors."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from tasks.dataset.rows import Answered
from tasks.formats import entities
from tasks.formats.answer import AnswerFormat
from tasks.formats.entity_answer import EntityAnswer
from tasks.formats.labels import likeliest
from tasks.formats.span_answer import SpanAnswer
from tasks.formats.spans import probability_in
from tasks.stages.evaluate.comparison import wilson
from tasks.steps.report import thumbnails
from tasks.steps.report.drawing import CARD, GRID, INK, MUTED, TUNED, picture
from tasks.steps.report.plots import DASHED, Plot, shorten
from tasks.texts.clean import clean

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BINS = 10  # of equal width; measures have 15, of which a picture would show many that hold a row or two
WORST = 12  # rows
LONGEST = 240  # characters of a text
Rows = Sequence[Answered]
Sure = list[tuple[float, bool]]  # how sure an answer was, and whether it was right


@dataclass(frozen=True)
class Miss:
    """A confident error of the tuned model: a row and a column."""

    id: str
    text: str
    column: str
    answer: str
    answer_p: float
    right: str
    right_p: float
    picture: str | None = None  # of the image that the row is about


def calibrations(rows: Rows, form: AnswerFormat, labels: Sequence[str], confidence: float) -> list[Plot]:
    """A picture for each of `labels` that all `rows` have probabilities of; of a tagger's answers, for its entities,
    and of answers that stand in a text. `confidence` is that of the bars.
    """
    if isinstance(form, EntityAnswer):
        hits = [
            hit for row in rows for hit in entities.calibration_pairs(row.get("probabilities") or {}, row["answer"])
        ]
        return [_plot(form.column, hits, form.column, confidence)] if hits else []
    if isinstance(form, SpanAnswer):
        known = [(row, probability_in(row.get("probabilities"))) for row in rows]
        sure = [(p, form.is_right(row["text"], row["answer"])) for row, p in known if p is not None]
        return [_plot(form.column, sure, "rows", confidence)] if sure else []
    return [
        _plot(label, [(max(of.values()), likeliest(of) == right) for of, right in answers], "rows", confidence)
        for label in labels
        if (answers := _shares(rows, form, label))
    ]


def misses(rows: Rows, form: AnswerFormat, labels: Sequence[str]) -> list[Miss]:
    """The errors with the least likely right class; one for each row and column."""
    every = []
    for label in labels:
        for row, (shares, right) in zip(rows, _shares(rows, form, label), strict=False):
            answer = likeliest(shares)
            if answer != right:
                text = shorten(str(row["messages"][-1]["content"]), LONGEST)
                sure = shares[answer], right, shares.get(right, 0.0)
                every.append(Miss(str(row["id"]), text, label, answer, *sure))
    worst = sorted(every, key=lambda miss: (miss.right_p, -miss.answer_p, miss.id, miss.column))[:WORST]
    by_id = {str(row["id"]): row for row in rows}
    return [replace(miss, picture=thumbnails.of_row(by_id[miss.id])) for miss in worst]


def _shares(rows: Rows, form: AnswerFormat, label: str) -> list[tuple[dict[str, float], str]]:
    """(probability of each class, the right class) of each row; none where not all rows have them."""
    known = []
    for row in rows:
        shares, right = (row.get("probabilities") or {}).get(label), form.read(row["answer"])
        if not shares or right is None:
            return []
        known.append(({clean(name): float(p) for name, p in shares.items()}, clean(right[label])))
    return known


def _plot(name: str, sure: Sure, what: str, confidence: float) -> Plot:
    mean, share = (float(np.mean([pair[side] for pair in sure])) for side in (0, 1))
    gap = mean - share
    how = "overconfident" if gap > 0.02 else "underconfident" if gap < -0.02 else "well calibrated"
    caption = (
        f"Of {len(sure)} {what} {100 * share:.1f} % are right, and their mean predicted probability is {mean:.3f}: on"
        f" the whole {how}. Bars are {100 * confidence:g} % intervals; below, how many {what} are in each bin."
    )
    return Plot(
        name, picture(f"calibration {name}", (5.0, 4.6), lambda figure: _draw(figure, sure, what, confidence)), caption
    )


def _draw(figure: "Figure", sure: Sure, what: str, confidence: float) -> None:
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    above.plot((0, 1), (0, 1), color=MUTED, linewidth=1, linestyle=DASHED)
    edges, counts = np.linspace(0, 1, BINS + 1), []
    for place in range(BINS):
        pairs = [pair for pair in sure if place == min(BINS - 1, int(pair[0] * BINS))]
        counts.append(len(pairs))
        if pairs:
            p, right = (float(np.mean([pair[side] for pair in pairs])) for side in (0, 1))
            low, high = wilson(np.array([pair[1] for pair in pairs]), confidence)
            above.plot((p, p), (low, high), color=TUNED, linewidth=1.6, alpha=0.5)
            above.plot(p, right, "o", color=TUNED, markersize=7, markeredgecolor=CARD)
    above.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.05), ylabel="share correct")
    above.grid()
    below.bar(edges[:-1] + 0.5 / BINS, counts, 0.92 / BINS, color=TUNED, alpha=0.6)
    for place, count in enumerate(counts):
        if count:
            below.annotate(str(count), (edges[place] + 0.5 / BINS, count), (0, 2), textcoords="offset points",
                           ha="center", fontsize=8, color=INK)  # fmt: skip
    below.set(xlabel="predicted probability", ylabel=what, ylim=(0, 1.35 * max(counts)))
    below.spines[:].set_color(GRID)
