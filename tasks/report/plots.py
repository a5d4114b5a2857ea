"""Draws the plots of the report, each with the words that say the same: losses, confusions, F1 of classes, lengths."""

import statistics
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from tasks.report.drawing import BAD, CARD, GRID, INK, MUTED, ON_HEAT, PARENT, RIGHT, TUNED, WRONG, picture

NO_CLASS = "(none)"  # what evaluate calls an answer that is not valid or names no known class
OTHER = "(other)"
MOST_CLASSES = 40  # more would not be legible; those with the most errors are kept
WIDE = 10.9  # inches


@dataclass(frozen=True)
class Plot:
    """A picture, what it shows in a sentence, and whether it takes the whole width."""

    name: str
    svg: str
    caption: str
    wide: bool = False
    notes: tuple[str, ...] = field(default=())


def words(name: str) -> str:
    """A name from a file as a person writes it: `reply_rouge_l` is `reply ROUGE-L`."""
    return name.replace("rouge_l", "ROUGE-L").replace("json", "JSON").replace("_f1", " F1").replace("_", " ")


def loss_curves(rows: list[dict[str, str]]) -> Plot | None:
    """Training and validation loss by step, the best step marked; None when there are no points."""
    curves = {
        name: [(int(row["step"]), float(row[name])) for row in rows if row.get(name)] for name in ("loss", "eval_loss")
    }
    if not any(curves.values()):
        return None
    best = min(curves["eval_loss"], key=lambda point: (point[1], point[0]), default=None)

    def draw(figure: Any) -> None:
        axes = figure.add_subplot(xlabel="step", ylabel="loss (nats a token)")
        axes.grid(axis="y")
        if curves["loss"]:
            axes.plot(*zip(*curves["loss"], strict=True), color=PARENT, linewidth=1.4, label="training")
        if curves["eval_loss"]:
            axes.plot(
                *zip(*curves["eval_loss"], strict=True),
                color=TUNED,
                linewidth=2,
                marker="o",
                markersize=4,
                label="validation",
            )
        if best:
            axes.axvline(best[0], color=TUNED, linewidth=0.8, linestyle=(0, (3, 3)))
            axes.plot(
                *best,
                color=TUNED,
                marker="o",
                markersize=9,
                markeredgecolor=CARD,
                markeredgewidth=2,
                linestyle="none",
                label=f"best: {best[1]:.3f} at step {best[0]}",
            )
        axes.set_ylim(bottom=0)
        axes.margins(x=0.02)
        axes.legend(loc="upper right")

    caption = (
        f"The lowest validation loss is {best[1]:.3f}, at step {best[0]} of {int(rows[-1]['step'])}."
        if best
        else "No validation loss was measured."
    )
    return Plot("loss", picture("loss", (WIDE, 3.6), draw), caption, True)


def length_histograms(rows: list[dict[str, str]]) -> Plot | None:
    """How many tokens prompts and answers have; None when there are no rows."""
    if not rows:
        return None
    lengths = {what: [int(row[f"{what}_tokens"]) for row in rows] for what in ("prompt", "answer")}

    def draw(figure: Any) -> None:
        for axes, (what, counts) in zip(figure.subplots(1, 2), lengths.items(), strict=True):
            axes.grid(axis="y")
            axes.hist(counts, bins=_edges(counts), color=TUNED, edgecolor=CARD, linewidth=0.8)
            middle = statistics.median(counts)
            axes.axvline(middle, color=INK, linewidth=1, linestyle=(0, (3, 3)))
            axes.set(xlabel=f"tokens in the {what}", ylabel="rows" if what == "prompt" else "")
            axes.set_title(f"median {middle:g}, longest {max(counts)}", loc="left", fontsize=9, color=MUTED)
            axes.yaxis.get_major_locator().set_params(integer=True)

    said = "; ".join(
        f"{what}s have {min(counts)} to {max(counts)} tokens, half of them {statistics.median(counts):g} or fewer"
        for what, counts in lengths.items()
    )
    return Plot(
        "lengths",
        picture("lengths", (WIDE, 2.9), draw),
        f"{said[:1].upper()}{said[1:]} ({len(rows)} training rows).",
        True,
    )


def class_scores(label: str, scores: list[dict[str, str]], pairs: list[dict[str, str]]) -> Plot:
    """F1 of each class under parent and tuned, the tuned model's best first."""
    rows = Counter(pair["actual"] for pair in pairs)
    found = sorted(
        ((float(score["tuned"]), float(score["parent"]), score["class"]) for score in scores),
        key=lambda item: (item[0], item[1], item[2]),
    )[:MOST_CLASSES]
    worse = sum(tuned < parent for tuned, parent, _ in found)

    def draw(figure: Any) -> None:
        axes = figure.add_subplot(xlim=(-0.03, 1.09), ylim=(-0.7, len(found) - 0.3))
        axes.grid(axis="x")
        places = range(len(found))
        axes.hlines(
            places,
            [parent for _, parent, _ in found],
            [tuned for tuned, _, _ in found],
            colors=[WRONG if tuned < parent else TUNED for tuned, parent, _ in found],
            linewidth=2.2,
            alpha=0.45,
        )
        axes.plot(
            [parent for _, parent, _ in found],
            places,
            "o",
            color=CARD,
            markeredgecolor=PARENT,
            markeredgewidth=1.6,
            markersize=6,
            label="parent",
        )
        axes.plot([tuned for tuned, _, _ in found], places, "o", color=TUNED, markersize=7, label="tuned")
        for place, (tuned, parent, _) in enumerate(found):
            axes.annotate(
                f"{tuned:.2f}",
                (max(tuned, parent), place),
                (8, 0),
                textcoords="offset points",
                va="center",
                fontsize=8,
                color=BAD if tuned < parent else INK,
            )
        axes.set_yticks(places, [f"{shorten(name)}  ({rows[name]})" for _, _, name in found])
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        figure.legend(loc="outside upper right", ncols=2, handles=axes.get_legend_handles_labels()[0])

    left_out = f" The {len(found)} weakest of {len(scores)} classes." if len(scores) > len(found) else ""
    fell = (
        f"{worse} of {len(found)} classes got worse than under the parent."
        if worse
        else "No class got worse than under the parent."
    )
    wide = len(found) > 8
    return Plot(
        label, picture(f"f1 {label}", (WIDE if wide else 5.0, 0.75 + 0.25 * len(found)), draw), fell + left_out, wide
    )


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
    total, right = every.total(), sum(count for (actual, said), count in every.items() if actual == said)
    caption = f"{right} of {total} rows are right."
    caption += f" Classes of one {words(by)} stand together." if by else ""
    caption += (
        f" The {MOST_CLASSES} classes with the most errors, of {len(classes)}." if len(shown) < len(classes) else ""
    )
    notes = tuple(
        f"{actual} → {said} × {count}" for count, actual, said in wrong[:4] if count > 1
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
        seen = set(zip(names, [row["actual"] for row in rows], strict=False))
        if 1 < len({group for _, group in seen}) < len(set(names)) == len(seen):
            return dict(seen), other
    return {}, None


def _edges(counts: list[int]) -> list[float]:
    """Bins of whole numbers, equally many in each: others would make peaks that are not there."""
    step = 1 + (max(counts) - min(counts)) // 30
    return [edge - 0.5 for edge in range(min(counts), max(counts) + step + 1, step)]


def shorten(name: str, longest: int = 28) -> str:
    """`name`, its end replaced by … when it is longer than `longest`."""
    return name if len(name) <= longest else name[: longest - 1] + "…"


def _fewer(counts: Counter, classes: list[str]) -> tuple[Counter, list[str]]:
    if len(classes) <= MOST_CLASSES:
        return counts, classes
    errors = Counter()
    for (actual, said), count in counts.items():
        if actual != said:
            errors.update({actual: count, said: count})
    kept = set(sorted(classes, key=lambda name: (-errors[name], name))[:MOST_CLASSES])
    fewer = Counter()
    for (actual, said), count in counts.items():
        if actual in kept:
            fewer[actual, said if said in kept else OTHER] += count
    return fewer, [*(name for name in classes if name in kept), OTHER]


def _matrix(figure: Any, counts: Counter, classes: list[str], groups: dict[str, str]) -> None:
    from matplotlib.patches import Rectangle

    sums = Counter()
    for (actual, _), count in counts.items():
        sums[actual] += count
    rows = [name for name in classes if sums[name]]
    axes = figure.add_subplot(xlim=(-0.5, len(classes) - 0.5), ylim=(len(rows) - 0.5, -0.5))
    _cells(axes, len(rows), len(classes), rows, classes, groups)
    for (actual, said), count in sorted(counts.items()):
        share = count / sums[actual]
        x, y = classes.index(said), rows.index(actual)
        strength = 0.15 + 0.85 * share if actual == said else 0.25 + 0.75 * share
        axes.add_patch(
            Rectangle(
                (x - 0.46, y - 0.46),
                0.92,
                0.92,
                color=RIGHT if actual == said else WRONG,
                alpha=round(strength, 3),
                linewidth=0,
            )
        )
        axes.text(
            x, y + 0.02, str(count), ha="center", va="center", fontsize=9, color=ON_HEAT if strength > 0.72 else INK
        )
    axes.set(xlabel="the tuned model said", ylabel="it was")


def _cells(axes: Any, height: int, width: int, rows: list[str], classes: list[str], groups: dict[str, str]) -> None:
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
