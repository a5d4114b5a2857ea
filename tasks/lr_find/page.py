"""The page of a range test: the loss over the learning rate, the suggestion, and how it was made."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tasks import pages
from tasks.files import write_text
from tasks.lr_find.range_test import DIVERGED, Point, Range
from tasks.lr_find.suggestion import STEEPEST, TENTH, Suggestion
from tasks.steps.report.drawing import BAD, MUTED, PARENT, TUNED, picture
from tasks.steps.report.plots import DASHED, WIDE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TEMPLATE = Path(__file__).with_name("page.html.jinja")


@dataclass(frozen=True)
class Shown:
    """What the page shows of the test of `model`, whose row has the rate `own`."""

    model: str
    own: float
    rates: Range
    points: Sequence[Point]
    suggestion: Suggestion | None
    seconds: float
    rows: int  # of a step
    kinds: str

    @property
    def diverged(self) -> bool:
        """Whether the test ended before its last step."""
        return len(self.points) < self.rates.steps


def headline(shown: Shown) -> str:
    """The outcome in one line."""
    if shown.suggestion is None:
        return f"{shown.model}: no rate made the loss fall"
    return f"{shown.model}: learning_rate {shown.suggestion.rate:.1e}"


def sentence(shown: Shown) -> str:
    """The outcome in words, with what it means for the row's own rate."""
    suggestion, end = shown.suggestion, shown.points[-1].rate
    if suggestion is None:
        return (
            f"Up to a rate of {end:.1e} the loss did not fall by 2 %: give more STEPS or other LOW and HIGH, or see "
            "whether the rows can be learnt at all."
        )
    words = (
        f"That is {suggestion.rule}. The loss falls fastest at {suggestion.steepest:.1e}; "
        f"it is lowest, {suggestion.lowest:.3f}, at {suggestion.lowest_at:.1e}, "
        f"a tenth of which is {suggestion.tenth:.1e}. "
    )
    if suggestion.is_vague:
        words += "The two rules are more than ten times apart, so the suggestion is a rough one. "
    return words + _of_own(shown.own, suggestion)


def _of_own(own: float, suggestion: Suggestion) -> str:
    if own >= suggestion.lowest_at:
        return f"The row's own {own:.1e} is in the part where the loss rises again."
    if own > 3 * suggestion.rate:
        times = f"{own / suggestion.rate:.0f} times that"
        return f"The row's own {own:.1e} is {times}, and below the rate with the lowest loss."
    if own < suggestion.rate / 3:
        return f"The row's own {own:.1e} is {suggestion.rate / own:.0f} times lower."
    return f"The row's own {own:.1e} is about that."


def write(shown: Shown, out: Path) -> None:
    """Put one self-contained page at `out`: the same inputs, the same bytes."""
    page = pages.template(TEMPLATE).render(
        shown=shown,
        headline=headline(shown),
        sentence=sentence(shown),
        plot=picture("range", (WIDE, 4.2), lambda figure: _curve(figure, shown)),
        rules=(STEEPEST, TENTH),
        diverged=DIVERGED,
    )
    write_text(out, page)


def _curve(figure: "Figure", shown: Shown) -> None:
    rates, losses, means = zip(*shown.points, strict=True)
    axes = figure.add_subplot(xlabel="learning rate", ylabel="loss", xscale="log")
    axes.grid(axis="y")
    axes.xaxis.set_major_formatter("{x:.0e}")  # its own is markup, which an SVG's text is not
    axes.plot(rates, losses, ".", color=PARENT, alpha=0.6, markersize=5, label="a step")
    axes.plot(rates, means, color=TUNED, linewidth=2, label="smoothed")
    axes.axvline(shown.own, color=MUTED, linewidth=1, linestyle=DASHED, label=f"the row's own: {shown.own:.1e}")
    if suggestion := shown.suggestion:
        label = f"suggested: {suggestion.rate:.1e}"
        axes.axvline(suggestion.rate, color=BAD, linewidth=1.6, label=label)
        axes.plot(suggestion.lowest_at, suggestion.lowest, "o", color=TUNED, markersize=8, label="lowest")
    low, high = min(means), max(means[: max(len(means) // 2, 1)])
    axes.set_ylim(max(0.0, low - 0.3 * (high - low)), high + 1.2 * (high - low) + 1e-6)
    axes.set_xlim(min(rates[0], shown.own), shown.rates.high)
    figure.legend(loc="outside upper center", ncols=5, labelcolor=MUTED)
