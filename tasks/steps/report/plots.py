"""Draws the plots of the report, each with a sentence that says the same: losses, F1 of classes, lengths."""

import statistics
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from tasks.steps.report.drawing import BAD, CARD, INK, MUTED, PARENT, TUNED, WRONG, picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_CLASSES = 40  # more would not be legible; those with the most errors are kept
WIDE = 10.9  # inches
DASHED = (0, (3, 3))
Point = tuple[int, float]  # step, loss


@dataclass(frozen=True)
class Plot:
    """A picture, what it shows in a sentence, and whether it takes the whole width."""

    name: str
    svg: str
    caption: str
    wide: bool = False
    notes: tuple[str, ...] = field(default=())


class Score(NamedTuple):
    """F1 of a class `name`."""

    tuned: float
    parent: float
    name: str

    @property
    def is_worse(self) -> bool:
        """True when tuning has lowered it."""
        return self.tuned < self.parent


def loss_curves(rows: list[dict[str, str]]) -> Plot | None:
    """Training and validation loss by step, the best step marked; None when there are no points."""
    curves = {
        name: [(int(row["step"]), float(row[name])) for row in rows if row.get(name)] for name in ("loss", "eval_loss")
    }
    if not any(curves.values()):
        return None
    best = min(curves["eval_loss"], key=lambda point: (point[1], point[0]), default=None)

    caption = (
        f"The lowest validation loss is {best[1]:.3f}, at step {best[0]} of {int(rows[-1]['step'])}."
        if best
        else "No validation loss was measured."
    )
    return Plot("loss", picture("loss", (WIDE, 3.6), lambda figure: _losses(figure, curves, best)), caption, True)


def _losses(figure: "Figure", curves: dict[str, list[Point]], best: Point | None) -> None:
    axes = figure.add_subplot(xlabel="step", ylabel="loss (nats)")
    axes.grid(axis="y")
    if curves["loss"]:
        axes.plot(*zip(*curves["loss"], strict=True), color=PARENT, linewidth=1.4, label="training")
    if curves["eval_loss"]:
        steps, losses = zip(*curves["eval_loss"], strict=True)
        axes.plot(steps, losses, color=TUNED, linewidth=2, marker="o", markersize=4, label="validation")
    if best:
        axes.axvline(best[0], color=TUNED, linewidth=0.8, linestyle=DASHED)
        label = f"best: {best[1]:.3f} at step {best[0]}"
        axes.plot(
            *best,
            color=TUNED,
            marker="o",
            markersize=9,
            markeredgecolor=CARD,
            markeredgewidth=2,
            linestyle="none",
            label=label,
        )
    axes.set_ylim(bottom=0)
    axes.margins(x=0.02)
    axes.legend(loc="upper right")


def length_histograms(rows: list[dict[str, str]]) -> Plot | None:
    """How many tokens prompts and answers have; None when there are no rows."""
    if not rows:
        return None
    lengths = {what: [int(row[f"{what}_tokens"]) for row in rows] for what in ("prompt", "answer")}
    lengths = {what: counts for what, counts in lengths.items() if max(counts)}  # what reads writes no answer
    if not lengths:
        return None

    def draw(figure: "Figure") -> None:
        for axes, (what, counts) in zip(
            figure.subplots(1, len(lengths), squeeze=False).flat, lengths.items(), strict=True
        ):
            axes.grid(axis="y")
            axes.hist(counts, bins=_edges(counts), color=TUNED, edgecolor=CARD, linewidth=0.8)
            middle = statistics.median(counts)
            axes.axvline(middle, color=INK, linewidth=1, linestyle=DASHED)
            axes.set(xlabel=f"tokens in the {what}", ylabel="rows" if what == "prompt" else "")
            axes.set_title(f"median {middle:g}, longest {max(counts)}", loc="left", fontsize=9, color=MUTED)
            axes.yaxis.get_major_locator().set_params(integer=True)

    caption = "; ".join(
        f"{what}s have {min(counts)} to {max(counts)} tokens, half of them {statistics.median(counts):g} or fewer"
        for what, counts in lengths.items()
    )
    return Plot(
        "lengths",
        picture("lengths", (WIDE, 2.9), draw),
        f"{caption[:1].upper()}{caption[1:]} ({len(rows)} training rows).",
        True,
    )


def class_scores(label: str, scores: list[dict[str, str]], pairs: list[dict[str, str]]) -> Plot:
    """F1 of each class under parent and tuned, the tuned model's best first."""
    rows = Counter(pair["actual"] for pair in pairs)
    weakest = sorted(Score(float(row["tuned"]), float(row["parent"]), row["class"]) for row in scores)[:MOST_CLASSES]
    worse = sum(score.is_worse for score in weakest)
    left_out = f" The {len(weakest)} weakest of {len(scores)} classes." if len(scores) > len(weakest) else ""
    fell = (
        f"{worse} of {len(weakest)} classes got worse than under the parent."
        if worse
        else "No class got worse than under the parent."
    )
    wide = len(weakest) > 8
    size = (WIDE if wide else 5.0, 0.75 + 0.25 * len(weakest))
    svg = picture(f"f1 {label}", size, lambda figure: _pairs(figure, weakest, rows))
    return Plot(label, svg, fell + left_out, wide)


def _pairs(figure: "Figure", scores: list[Score], rows: Counter[str]) -> None:
    """A line a class from the parent's F1 to that of the tuned model."""
    axes = figure.add_subplot(xlim=(-0.03, 1.09), ylim=(-0.7, len(scores) - 0.3))
    axes.grid(axis="x")
    places = range(len(scores))
    parent, tuned = [score.parent for score in scores], [score.tuned for score in scores]
    colours = [WRONG if score.is_worse else TUNED for score in scores]
    axes.hlines(places, parent, tuned, colors=colours, linewidth=2.2, alpha=0.45)
    axes.plot(
        parent, places, "o", color=CARD, markeredgecolor=PARENT, markeredgewidth=1.6, markersize=6, label="parent"
    )
    axes.plot(tuned, places, "o", color=TUNED, markersize=7, label="tuned")
    for place, score in enumerate(scores):
        axes.annotate(
            f"{score.tuned:.2f}",
            (max(score.tuned, score.parent), place),
            (8, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
            color=BAD if score.is_worse else INK,
        )
    axes.set_yticks(places, [f"{shorten(score.name)}  ({rows[score.name]})" for score in scores])
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    figure.legend(loc="outside upper right", ncols=2, handles=axes.get_legend_handles_labels()[0])


def _edges(counts: list[int]) -> list[float]:
    """Bins of whole numbers, equally many in each: others would make peaks that are not there."""
    step = 1 + (max(counts) - min(counts)) // 30
    return [edge - 0.5 for edge in range(min(counts), max(counts) + step + 1, step)]


def shorten(name: str, longest: int = 28) -> str:
    """`name`, its end replaced by … when it is longer than `longest`."""
    return name if len(name) <= longest else name[: longest - 1] + "…"
