"""The pictures of a sweep's page: trials as lines through their settings, what matters, quality against cost."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tasks.steps.report.drawing import BAD, CARD, GRID, INK, MUTED, PARENT, TUNED, picture
from tasks.sweeps import words
from tasks.sweeps.outcome import Outcome, TrialRow

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH = 10.9  # inches
FEW = 5  # values of a setting that lie evenly on its axis


@dataclass(frozen=True)
class Axis:
    """A vertical axis: where a trial's value lies on it, from 0 to 1, and the values that are written beside it."""

    name: str
    places: list[float | None]  # of each trial
    ticks: list[tuple[float, str]]


def parallel(outcome: Outcome) -> str:
    """Each trial a line through its settings to its value; the finalists stand out."""
    trials = [row for row in outcome["trials"] if row["curve"] or row["value"] is not None]
    axes = [*(_axis(name, trials) for name in outcome["trials"][0]["settings"]), _values(outcome, trials)]
    finalists = {entry["name"] for entry in outcome["finalists"]}
    best_first = sorted(trials, key=lambda row: str(row["number"]) in finalists)

    def draw(figure: "Figure") -> None:
        plot: Any = figure.add_subplot(xlim=(-0.15, len(axes) - 0.6), ylim=(-0.06, 1.12))
        plot.set_axis_off()
        behind = {"facecolor": CARD, "edgecolor": "none", "pad": 1, "alpha": 0.8}
        for number, axis in enumerate(axes):
            plot.plot([number, number], [0, 1], color=MUTED, linewidth=1, zorder=1)
            plot.text(number, 1.07, axis.name, ha="center", color=INK)
            for place, text in axis.ticks:
                plot.text(number + 0.03, place, text, va="center", color=MUTED, fontsize=8, zorder=3, bbox=behind)
        for row in best_first:
            places = [axis.places[trials.index(row)] for axis in axes]
            pairs = [(number, place) for number, place in enumerate(places) if place is not None]
            how = _style(row, finalists)
            plot.plot([number for number, _ in pairs], [place for _, place in pairs], zorder=2, **how)
        figure.legend(handles=_legend(), loc="outside lower center", ncols=3, labelcolor=MUTED)

    return picture("parallel", (WIDTH, 4.2), draw)


def _style(row: TrialRow, finalists: set[str]) -> dict[str, Any]:
    if str(row["number"]) in finalists:
        return {"color": TUNED, "linewidth": 2.2}
    if row["state"] == "complete":
        return {"color": PARENT, "linewidth": 1, "alpha": 0.55}
    return {"color": BAD, "linewidth": 1, "alpha": 0.5, "linestyle": "--"}


def _legend() -> list[Any]:
    from matplotlib.lines import Line2D

    kinds = (("finalist", TUNED, "-", 2.2), ("ran to its end", PARENT, "-", 1), ("pruned", BAD, "--", 1))
    return [
        Line2D([], [], color=colour, linestyle=line, linewidth=width, label=name) for name, colour, line, width in kinds
    ]


def _axis(name: str, trials: Sequence[TrialRow]) -> Axis:
    """A setting: numbers in proportion (by their logarithm if they span a factor of 20), anything else in order."""
    values = [row["settings"].get(name) for row in trials]
    numbers = [float(given) for given in values if isinstance(given, int | float) and not isinstance(given, bool)]
    known = sorted({str(given) for given in values if given is not None})
    if len(numbers) == len(values) and 1 < len(set(numbers)) <= FEW:
        known = [words.value(_plain(number)) for number in sorted(set(numbers))]
        values = [words.value(_plain(number)) for number in numbers]
    if len(numbers) < len(values) or len(known) <= FEW:
        spots = {text: (place + 0.5) / len(known) for place, text in enumerate(known)}
        return Axis(name, [spots.get(str(given)) for given in values], [(place, text) for text, place in spots.items()])
    low, high = min(numbers), max(numbers)
    if low > 0 and high / low >= 20:
        share = [math.log(given / low) / math.log(high / low) for given in numbers]
        middle = math.sqrt(low * high)
    else:
        share, middle = [(given - low) / (high - low) for given in numbers], (low + high) / 2
    ends = [(share[numbers.index(mark)], words.value(_plain(mark))) for mark in (low, high)]
    ticks = [*ends, (0.5, words.value(_plain(middle)))]
    return Axis(name, list(share), ticks)


def _plain(number: float) -> int | float:
    return int(number) if number.is_integer() and abs(number) < 1e6 else number


def _values(outcome: Outcome, trials: Sequence[TrialRow]) -> Axis:
    """The measure, the best on top; far worse ones all lie at the bottom, so that the good ones can be told apart."""
    values = [row["value"] if row["value"] is not None else row["curve"][-1] for row in trials]
    best, worst = _window(values, outcome["greater"])
    places = [min(max((value - worst) / (best - worst), 0.0), 1.0) if best != worst else 0.5 for value in values]
    cut = any(value < worst if outcome["greater"] else value > worst for value in values)
    bottom = f"{worst:.3f}{' or worse' if cut else ''}"
    return Axis(
        words.measure(outcome), list(places), [(1.0, f"{best:.3f}"), (0.5, f"{(best + worst) / 2:.3f}"), (0.0, bottom)]
    )


def _window(values: Sequence[float], greater: bool) -> tuple[float, float]:
    """(the best value, the worst one told apart): at most three times as far from the best as the middle one."""
    ordered = sorted(values, reverse=greater)
    middle = ordered[len(ordered) // 2]
    far = ordered[0] + 3 * (middle - ordered[0])
    return ordered[0], (max(ordered[-1], far) if greater else min(ordered[-1], far))


def importance(outcome: Outcome) -> str:
    """How much of what trials differ by goes with each setting."""
    shares = sorted(outcome["importance"].items(), key=lambda pair: pair[1])

    def draw(figure: "Figure") -> None:
        plot: Any = figure.add_subplot(xlim=(0, 1.12))
        plot.barh([name for name, _ in shares], [share for _, share in shares], color=TUNED, height=0.55)
        for place, (_, share) in enumerate(shares):
            plot.text(share + 0.015, place, f"{100 * share:.0f} %", va="center", color=INK)
        plot.set_xticks([])
        plot.spines["bottom"].set_visible(False)

    return picture("importance", (5.2, 0.7 + 0.36 * len(shares)), draw)


def front(outcome: Outcome) -> str:
    """Each trial that ran to its end by its seconds and its value; and those that no other beats in both."""
    ended = [row for row in outcome["trials"] if row["value"] is not None and "seconds" in row["figures"]]
    best = words.pareto(outcome)
    values = [row["value"] or 0.0 for row in ended]
    top, bottom = _window(values, outcome["greater"])

    def draw(figure: "Figure") -> None:
        plot: Any = figure.add_subplot(xlabel="seconds of training", ylabel=words.measure(outcome))
        plot.grid(color=GRID)
        plot.scatter([row["figures"]["seconds"] for row in ended], values, s=22, color=PARENT, alpha=0.7, linewidths=0)
        plot.plot(
            [row["figures"]["seconds"] for row in best],
            [row["value"] for row in best],
            color=TUNED,
            marker="o",
            markersize=6,
            drawstyle="steps-post",
            label="none is both quicker and better",
        )
        for row in best:
            at = row["figures"]["seconds"], row["value"]
            plot.annotate(str(row["number"]), at, xytext=(5, 5), textcoords="offset points", color=INK, fontsize=8)
        room = abs(top - bottom) or 1.0
        sign = 1 if outcome["greater"] else -1
        low, high = sorted((top + sign * 0.15 * room, bottom - sign * 0.1 * room))
        plot.set_ylim(low, high)
        figure.legend(loc="outside lower center", labelcolor=MUTED)

    return picture("front", (5.2, 3.6), draw)
