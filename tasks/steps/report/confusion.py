"""Draws the confusion matrices of the report, each with a sentence that says the same."""

from collections import Counter
from typing import TYPE_CHECKING

from tasks.comparison.measure_names import words
from tasks.steps.report.drawing import GRID, INK, MUTED, ON_HEAT, RIGHT, WRONG, picture
from tasks.steps.report.plots import MOST_CLASSES, WIDE, Plot, shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NO_CLASS = "(none)"  # what evaluate calls an answer that is not valid or names no known class
OTHER = "(other)"
Pairs = Counter[tuple[str, str]]  # (right class, class that was answered): how often


def confusion(label: str, pairs: dict[str, list[dict[str, str]]]) -> Plot:
    """The confusion matrix of `label` (one of `pairs`), with the classes of a coarser label kept together."""
    every = Counter((row["actual"], row["predicted"]) for row in pairs[label])
    groups, by = coarser(label, pairs)
    classes = sorted(
        {name for pair in every for name in pair}, key=lambda name: (name == NO_CLASS, groups.get(name, ""), name)
    )
    counts, shown = _fewer(every, classes)
    wrong = sorted(
        ((count, *pair) for pair, count in every.items() if pair[0] != pair[1]), key=lambda item: (-item[0], item[1:])
    )
    total, right = every.total(), sum(count for (actual, predicted), count in every.items() if actual == predicted)
    caption = f"{right} of {total} rows are right."
    caption += f" Classes of one {words(by)} stand together." if by else ""
    caption += (
        f" The {MOST_CLASSES} classes with the most errors, of {len(classes)}." if len(shown) < len(classes) else ""
    )
    notes = tuple(
        f"{actual} → {predicted} × {count}" for count, actual, predicted in wrong[:4] if count > 1
    )  # of single ones there are many, and four of them say nothing
    wide = len(shown) > 8
    size = (WIDE, WIDE * 0.86) if wide else (5.0, 1.3 + 0.55 * len(shown))
    svg = picture(f"confusion {label}", size, lambda figure: _matrix(figure, counts, shown, groups))
    return Plot(label, svg, caption, wide, notes)


def coarser(label: str, pairs: dict[str, list[dict[str, str]]]) -> tuple[dict[str, str], str | None]:
    """(class: group, the grouping label) where another label has fewer classes and each class lies in only one of
    them.
    """
    names = [row["actual"] for row in pairs[label]]
    for other, rows in pairs.items():
        pairs_of_classes = set(zip(names, [row["actual"] for row in rows], strict=False))
        if 1 < len({group for _, group in pairs_of_classes}) < len(set(names)) == len(pairs_of_classes):
            return dict(pairs_of_classes), other
    return {}, None


def _fewer(counts: Pairs, classes: list[str]) -> tuple[Pairs, list[str]]:
    if len(classes) <= MOST_CLASSES:
        return counts, classes
    errors = Counter[str]()
    for (actual, predicted), count in counts.items():
        if actual != predicted:
            errors.update({actual: count, predicted: count})
    kept = set(sorted(classes, key=lambda name: (-errors[name], name))[:MOST_CLASSES])
    fewer: Pairs = Counter()
    for (actual, predicted), count in counts.items():
        if actual in kept:
            fewer[actual, predicted if predicted in kept else OTHER] += count
    return fewer, [*(name for name in classes if name in kept), OTHER]


def _matrix(figure: "Figure", counts: Pairs, classes: list[str], groups: dict[str, str]) -> None:
    from matplotlib.patches import Rectangle

    sums = Counter[str]()
    for (actual, _), count in counts.items():
        sums[actual] += count
    rows = [name for name in classes if sums[name]]
    axes = figure.add_subplot(xlim=(-0.5, len(classes) - 0.5), ylim=(len(rows) - 0.5, -0.5))
    _cells(axes, len(rows), len(classes), rows, classes, groups)
    for (actual, predicted), count in sorted(counts.items()):
        share = count / sums[actual]
        x, y = classes.index(predicted), rows.index(actual)
        strength = 0.15 + 0.85 * share if actual == predicted else 0.25 + 0.75 * share
        axes.add_patch(
            Rectangle(
                (x - 0.46, y - 0.46),
                0.92,
                0.92,
                color=RIGHT if actual == predicted else WRONG,
                alpha=round(strength, 3),
                linewidth=0,
            )
        )
        axes.text(
            x, y + 0.02, str(count), ha="center", va="center", fontsize=9, color=ON_HEAT if strength > 0.72 else INK
        )
    axes.set(xlabel="answer of the tuned model", ylabel="right class")


def _cells(axes: "Axes", height: int, width: int, rows: list[str], classes: list[str], groups: dict[str, str]) -> None:
    axes.hlines([place - 0.5 for place in range(height + 1)], -0.5, width - 0.5, colors=GRID, linewidth=0.5)
    axes.vlines([place - 0.5 for place in range(width + 1)], -0.5, height - 0.5, colors=GRID, linewidth=0.5)
    for place in range(1, len(rows)):
        if groups.get(rows[place]) != groups.get(rows[place - 1]):
            axes.hlines(place - 0.5, -0.5, width - 0.5, colors=MUTED, linewidth=1)
            axes.vlines(place - 0.5, -0.5, height - 0.5, colors=MUTED, linewidth=1)
    steep = width > 8 or max(map(len, classes)) > 10
    axes.set_xticks(
        range(width),
        [shorten(name) for name in classes],
        rotation=55 if steep else 0,
        ha="right" if steep else "center",
        rotation_mode="anchor",
    )
    axes.set_yticks(range(height), [shorten(name) for name in rows])
    axes.tick_params(length=0, labelcolor=INK)
    axes.spines[:].set_visible(False)
