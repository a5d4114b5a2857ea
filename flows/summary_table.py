"""The last screen of a run: is the model good, was it worth it, where is it served; then the gate's checks, and what
ran.
"""

import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.comparison import contestants
from tasks.comparison.measure_names import words
from tasks.comparison.worth import figure
from tasks.steps.report.summary import (
    Evaluation,
    GateFacts,
    ParityFacts,
    StageRun,
    Summary,
    confidence_of,
    figures_of,
    intervals_of,
)
from tasks.timings import measured_duration

if TYPE_CHECKING:
    from rich.table import Table

# What the last screen shows; the page has all.
FIRST_MEASURES = re.compile(r"^valid$|_accuracy$|^perplexity$|_rmse$|_entity_f1$|_token_f1$|^passes_tests$")
MAX_MEASURES = 6
WIDTH = 120  # characters, without a terminal


def show(name: str, done: Sequence[StageRun], summary: Summary | None, log: Path | None = None) -> None:
    """Print the end of a run of `name`; only what was done if it ended early."""
    from rich.console import Console

    width = None if sys.stdout.isatty() else WIDTH
    console = Console(highlight=False, soft_wrap=True, width=width)
    if summary is not None:
        for line in head(summary):
            console.print(line, markup=False)
        console.print(_figures(_shown(summary["evaluation"])))
        for line in _gate(summary["gate"]):
            console.print(line, markup=False)
    console.print(_stages(done, ended_early=summary is None))
    for label, place in (summary["where"] if summary else {}).items():
        if label != "report":
            console.print(f"{label:<20} {place}", markup=False)
    if log is not None:
        console.print(f"{'log':<20} {log}", markup=False)


def head(summary: Summary) -> Iterator[str]:
    """Yield the first lines: the model's state, is it good, was it worth it, where is it served."""
    registry, endpoint = summary["registry"], summary["endpoint"]
    version = f"{summary['model']} version {registry['version']}" if registry else summary["model"]
    yield ""
    yield f"{version}: {_state(summary)}"
    yield f"  good?      {_good(summary['evaluation'])}"
    if worth := summary.get("worth"):
        yield f"  worth it?  {worth['sentence']}"
    for release in summary["release"]:
        yield f"  released   {release} (`make decisions` shows why)"
    if endpoint:
        agrees = _agreement(endpoint["parity"]) if endpoint["parity"] else ""
        goes_on = "" if registry and endpoint["version"] == registry["version"] else ", which goes on answering"
        yield f"  served at  {endpoint['url']}  as {endpoint['model']}{goes_on}{agrees}"
        yield f"  try it     {endpoint['curl']}"
    yield f"  page       {summary['where']['report']}"


def _state(summary: Summary) -> str:
    """Return the state of the version in one clause."""
    gate, aliases = summary["gate"], summary["registry"]["aliases"] if summary["registry"] else []
    if not gate["passed"]:
        return "not promoted, as the gate refused it"
    if gate["held_back"]:
        return "held back, as it was rolled back before (`make decisions` shows why; `make promote` promotes it)"
    if summary.get("is_on_trial"):
        return "passed the gate, and its canary is open: the reconciler promotes it or takes it back"
    if "champion" in aliases:
        return "passed the gate and is the champion: it answers"
    return "passed the gate and waits for its canary" if aliases else "passed the gate"


def _good(evaluation: Evaluation) -> str:
    """Return the most important measures of the tuned model on held-out rows."""
    shown = _shown(evaluation)
    parts = [f"{_plain(name)} {figure(value, name)}" for name, value in shown["tuned"].items()]
    return f"{', '.join(parts)}, on {evaluation['rows']} held-out rows"


def _shown(evaluation: Evaluation) -> Evaluation:
    """Return the evaluation with only the most important measures, or the first ones if it has none of these."""
    tuned = evaluation["tuned"]
    names = [name for name in tuned if FIRST_MEASURES.search(name)] or list(tuned)
    return {**evaluation, "tuned": {name: tuned[name] for name in names[:MAX_MEASURES]}}


def _plain(name: str) -> str:
    return "valid answers" if name == "valid" else words(name.removesuffix("_accuracy"))


def _gate(gate: GateFacts) -> Iterator[str]:
    """Yield the gate's checks."""
    yield f"gate: {'passed' if gate['passed'] else 'refused'}"
    for check in gate["checks"]:
        yield f"  {'✓' if check['held'] else '✗'} {check['words']}"


def _stages(done: Sequence[StageRun], ended_early: bool) -> "Table | str":
    """Return a table of what ran to its end, and for how long, with the number of cached stages."""
    from rich.table import Table

    cached = sum(entry["state"] == "cached" for entry in done)
    share = f"{cached} of {len(done)} were done before"
    if ended_early:
        share = f"{len(done)} came to an end, {cached} of them in an earlier run"
    elif done and cached == len(done):
        share = "all of it was done before"
    table = Table(title=f"stages and steps: {share}", title_justify="left")
    table.add_column("ran")
    table.add_column("time", justify="right")
    for entry in done:
        if entry["state"] != "cached":
            table.add_row(entry["name"], measured_duration(entry["seconds"]))
    return table if table.row_count else f"stages and steps: {share}"


def _agreement(parity: ParityFacts) -> str:
    if "difference" in parity:
        return f", says the evaluation's probabilities of {parity['prompts']} texts within {parity['difference']:.0e}"
    return (
        f", agrees with transformers on {parity['share']:.1%} of the tokens of {parity['prompts']} answers "
        f"({parity['identical']} identical)"
    )


def _figures(evaluation: Evaluation) -> "Table":
    from rich.table import Table

    table = Table(title=f"{evaluation['rows']} held-out rows", title_justify="left")
    others = [who for who in reversed(contestants.with_figures(evaluation)) if who != contestants.TUNED]
    table.add_column("measure")
    for who in (*others, contestants.TUNED):
        table.add_column(who.replace("_", "-"), justify="right")
    table.add_column(f"{100 * confidence_of(evaluation):g} % interval", justify="right")
    for name, value in evaluation["tuned"].items():
        low, high = intervals_of(evaluation, contestants.TUNED)[name]
        measured = [figures_of(evaluation, who) for who in others]
        figures = [f"{of[name]:.3f}" if name in of else "–" for of in measured]
        table.add_row(name, *figures, f"{value:.3f}", f"{low:.3f} to {high:.3f}")
    pace = evaluation["seconds_per_answer"]
    paces = [f"{pace[who]:.2f}" if who in pace else "–" for who in (*others, contestants.TUNED)]
    table.add_row("seconds per answer", *paces, "")
    return table
