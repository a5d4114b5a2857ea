"""Writes the page about a check: the verdict, the evidence over time with its line, figures beside the reference,
and Evidently's page.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tasks.files import write_text
from tasks.monitor import evidently_page, verdict
from tasks.monitor.scores import Scores
from tasks.report.drawing import BAD, MUTED, PARENT, TUNED, picture

KEPT = 50  # pages of a task
TOP = 12.0  # of the plot: beyond, how much evidence there is does not matter
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
class Facts:
    """What a page is made of: the row of the check, the reference's figures, earlier checks, and the latest texts."""

    row: dict
    reference: dict[str, float]
    history: list[dict]
    scores: Scores
    inputs: list[dict]
    answers: list[str]
    apart: str = ""  # a sentence about requests that are not judged


def write_report(facts: Facts, folder: Path) -> Path:
    """Put the page at `folder/<time>.html` and `folder/latest.html`; the oldest pages beyond KEPT go. Its path."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    row, here = facts.row, Path(__file__).parent
    page = folder / f"{datetime.fromtimestamp(row['at'], UTC):%Y-%m-%dT%H-%M-%S}.html"
    environment = Environment(
        loader=FileSystemLoader([here, here.parent / "report"]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    threshold = row["figures"]["threshold"]
    groups = {group: value for group, value in row["evidence"].items() if group != verdict.ALL}
    text = environment.get_template("check.html.jinja").render(
        row=row,
        when=f"{datetime.fromtimestamp(row['at'], UTC):%d %B %Y, %H:%M} UTC".lstrip("0"),
        threshold=threshold,
        groups=sorted(groups.items(), key=lambda item: -item[1]),
        together=row["evidence"][verdict.ALL],
        plot=plot([*facts.history, row], threshold),
        checks=len(facts.history) + 1,
        figures=[
            (name, shown(name, row["figures"]), shown(name, facts.reference) if name in facts.reference else "–")
            for name in row["figures"]
            if name not in HIDDEN and not name.endswith("_n")
        ],
        evidently=evidently_page.write(facts.scores, facts.inputs, facts.answers, folder / "evidently.html"),
        apart=facts.apart,
        fresh=row["figures"]["normal_is_traffic"] == 1,
    )
    write_text(page, text)
    write_text(folder / "latest.html", text)
    for old in sorted(folder.glob("20*.html"))[:-KEPT]:
        old.unlink(missing_ok=True)
    return page


def shown(name: str, figures: dict[str, float]) -> str:
    """A figure as a person reads it, with the number of answers that it rests on where that is known."""
    value, of = figures[name], f" of {figures[f'{name}_n']:.0f}" if f"{name}_n" in figures else ""
    if name in PERCENT or "=" in name or name.endswith("_accuracy"):
        return f"{value:.1%}{of}"
    if name.startswith("latency"):
        return f"{value:.2f} s"
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def plot(rows: list[dict], threshold: float) -> Any:
    """The SVG of each group's evidence over the checks, the line drawn in, the three strongest groups named."""
    times = [datetime.fromtimestamp(row["at"], UTC) for row in rows]
    last = rows[-1]["evidence"]
    strong = sorted((group for group in last if group != verdict.ALL), key=lambda group: -last[group])[:3]
    others = [group for group in last if group not in strong and group != verdict.ALL]

    def curve(group: str) -> list[float]:
        return [min(TOP, max(-2.0, row["evidence"].get(group, 0.0))) for row in rows]

    def draw(figure: Any) -> None:
        from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

        axes = figure.add_subplot(ylabel="evidence: powers of ten")
        axes.grid(axis="y")
        mark = "o" if len(rows) < 40 else None
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
        if len(rows) > 1:
            locator = AutoDateLocator()
            axes.xaxis.set_major_locator(locator)
            axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
        else:
            axes.set_xticks(times, [f"{times[0]:%d %b %H:%M}"])
        figure.legend(loc="outside upper center", ncols=4, labelcolor=MUTED)

    return picture("evidence", (10.9, 3.8), draw)
