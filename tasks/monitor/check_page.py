"""Writes the page of a check: the verdict, the evidence over time, the figures beside the reference, and Evidently's
page.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks import pages
from tasks.files import write_text
from tasks.monitor import alarm, evidently_page
from tasks.monitor.checks_table import Evidence, MonitorCheck
from tasks.monitor.scores import Scores
from tasks.records.database_rows import Input
from tasks.steps.report.drawing import BAD, MUTED, PARENT, TUNED, picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_PAGES = 50  # of a task
TOP = 12.0  # of the plot, in powers of ten; beyond it, the amount of evidence does not matter
PERCENT = (
    "new_words",
    "other_language",
    "missing_fields",
    "refusals",
    "valid",
    "exact_match",
    "error_rate",
    "not_judged",
)
HIDDEN = ("threshold", "normal_is_traffic", "latest")


@dataclass(frozen=True)
class PageContent:
    """The content of a page: the check, the reference's figures, earlier checks, and the latest texts."""

    check: MonitorCheck
    reference: dict[str, float]
    history: Sequence[Evidence]
    scores: Scores
    inputs: Sequence[Input]
    answers: list[str]
    unjudged: str = ""  # a sentence about requests that are not judged


def write_page(content: PageContent, folder: Path) -> Path:
    """Put the page at `folder/<time>.html` and `folder/latest.html`; pages beyond MAX_PAGES are deleted. Return its
    path.
    """
    check = content.check
    page = folder / f"{datetime.fromtimestamp(check.at, UTC):%Y-%m-%dT%H-%M-%S}.html"
    threshold = check.figures["threshold"]
    groups = {group: value for group, value in check.evidence.items() if group != alarm.ALL}
    text = pages.template(Path(__file__).with_name("check.html.jinja")).render(
        row=check,
        when=f"{datetime.fromtimestamp(check.at, UTC):%d %B %Y, %H:%M} UTC".lstrip("0"),
        threshold=threshold,
        groups=sorted(groups.items(), key=lambda item: -item[1]),
        together=check.evidence[alarm.ALL],
        plot=plot([*content.history, Evidence(check.at, check.evidence)], threshold),
        checks=len(content.history) + 1,
        figures=list(_figure_rows(check.figures, content.reference)),
        evidently=evidently_page.write(content.scores, content.inputs, content.answers, folder / "evidently.html"),
        unjudged=content.unjudged,
        fresh=check.figures["normal_is_traffic"] == 1,
    )
    write_text(page, text)
    write_text(folder / "latest.html", text)
    for old in sorted(folder.glob("20*.html"))[:-MAX_PAGES]:
        old.unlink(missing_ok=True)
    return page


def _figure_rows(figures: Mapping[str, float], reference: Mapping[str, float]) -> Iterator[tuple[str, str, str]]:
    """Yield (name, figure, figure of the reference) as text."""
    for name in figures:
        if name not in HIDDEN and not name.endswith("_n"):
            known = format_figure(name, reference) if name in reference else "–"
            yield name, format_figure(name, figures), known


def format_figure(name: str, figures: Mapping[str, float]) -> str:
    """Return a figure as text, with the number of answers that it is measured on, if known."""
    value, of = figures[name], f" of {figures[f'{name}_n']:.0f}" if f"{name}_n" in figures else ""
    if name in PERCENT or "=" in name or name.endswith("_accuracy"):
        return f"{value:.1%}{of}"
    if name.startswith("latency"):
        return f"{value:.2f} s"
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def plot(checks: Sequence[Evidence], threshold: float) -> str:
    """Return an SVG of each group's evidence over the checks; the three strongest groups are named."""
    times: Any = [datetime.fromtimestamp(check.at, UTC) for check in checks]  # matplotlib's types know no dates
    last = checks[-1].by_group
    strong = sorted((group for group in last if group != alarm.ALL), key=lambda group: -last[group])[:3]
    others = [group for group in last if group not in strong and group != alarm.ALL]

    def curve(group: str) -> list[float]:
        return [min(TOP, max(-2.0, check.by_group.get(group, 0.0))) for check in checks]

    def draw(figure: "Figure") -> None:
        from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

        axes = figure.add_subplot(ylabel="evidence: powers of ten")
        axes.grid(axis="y")
        mark = "o" if len(checks) < 40 else None
        for group in others:
            axes.plot(times, curve(group), color=PARENT, linewidth=0.8, alpha=0.6)
        for place, group in enumerate(strong):
            axes.plot(
                times,
                curve(group),
                color=TUNED,
                linewidth=2 - 0.5 * place,
                linestyle=("-", (0, (5, 2)), (0, (1, 1.5)))[place],
                marker=mark,
                markersize=4,
                label=group,
            )
        axes.axhline(threshold, color=BAD, linewidth=1.2, linestyle=(0, (4, 3)), label=f"the line: 10^{threshold:.1f}")
        axes.set_ylim(-2.2, max(threshold + 1, *(max(curve(group)) + 0.5 for group in strong)))
        if len(checks) > 1:
            locator = AutoDateLocator()
            axes.xaxis.set_major_locator(locator)
            axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
        else:
            axes.set_xticks(times, [f"{times[0]:%d %b %H:%M}"])
        figure.legend(loc="outside upper center", ncols=4, labelcolor=MUTED)

    return picture("evidence", (10.9, 3.8), draw)
