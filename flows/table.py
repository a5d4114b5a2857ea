"""The short table that ends a run."""

from collections.abc import Mapping, Sequence
from typing import Any

from tasks import contestants


def show(name: str, done: Sequence[Mapping[str, Any]], summary: Mapping[str, Any] | None) -> None:
    """Print stages, figures, verdict, registry, endpoint and where to look; only the stages when the run ended
    early.
    """
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False, soft_wrap=True)
    table = Table(title=f"pipeline {name}", title_justify="left")
    for header, side in (("stage", "left"), ("", "left"), ("seconds", "right")):
        table.add_column(header, justify=side)
    for entry in done:
        table.add_row(entry["name"], entry["state"], f"{entry['seconds']:.1f}")
    console.print(table)
    if summary is None:
        return
    console.print(_figures(summary["evaluation"]))
    if worth := summary.get("worth"):
        console.print(worth["sentence"], markup=False)
    _show_gate(console, summary["gate"])
    _show_served(console, summary)
    for label, place in summary["where"].items():
        console.print(f"{label:<20} {place}", markup=False)


def _show_gate(console: Any, gate: dict) -> None:
    console.print(f"gate      {'passed' if gate['passed'] else 'refused'}")
    for check in gate["checks"]:
        console.print(f"          {'✓' if check['held'] else '✗'} {check['words']}", markup=False)
    if gate["held_back"]:
        console.print(
            "          this version was rolled back; `make decisions` shows why, and `make promote` promotes it all "
            "the same"
        )


def _show_served(console: Any, summary: dict) -> None:
    """Registry, release and endpoint, as far as the run came."""
    if registry := summary["registry"]:
        console.print(
            f"registry  {registry['name']} version {registry['version']}  "
            f"{' '.join('@' + alias for alias in registry['aliases'])}",
            markup=False,
        )
    for words in summary["release"]:
        console.print(f"release   {words}; `make decisions` shows why", markup=False)
    if endpoint := summary["endpoint"]:
        agrees = _agreement(endpoint["parity"]) if endpoint["parity"] else ""
        console.print(f"endpoint  {endpoint['url']}  model {endpoint['model']} (version {endpoint['version']}){agrees}")
        console.print(f"try it    {endpoint['curl']}", markup=False)


def _agreement(parity: dict) -> str:
    if parity.get("difference") is not None:
        return f", says the evaluation's probabilities of {parity['prompts']} texts within {parity['difference']:.0e}"
    return (
        f", agrees with transformers on {parity['share']:.1%} of the tokens of {parity['prompts']} answers "
        f"({parity['identical']} identical)"
    )


def _figures(evaluation: dict) -> Any:
    from rich.table import Table

    table = Table(title=f"{evaluation['rows']} held-out rows", title_justify="left")
    others = [who for who in reversed(contestants.among(evaluation)) if who != contestants.TUNED]
    table.add_column("measure")
    for who in (*others, contestants.TUNED):
        table.add_column(who.replace("_", "-"), justify="right")
    table.add_column(f"{100 * evaluation['intervals']['confidence']:g} % interval", justify="right")
    for name, value in evaluation["tuned"].items():
        low, high = evaluation["intervals"]["tuned"][name]
        figures = [f"{evaluation[who][name]:.3f}" if name in evaluation[who] else "–" for who in others]  # not measured
        table.add_row(name, *figures, f"{value:.3f}", f"{low:.3f} to {high:.3f}")
    pace = evaluation["seconds_per_answer"]
    paces = [f"{pace[who]:.2f}" if who in pace else "–" for who in (*others, contestants.TUNED)]
    table.add_row("seconds per answer", *paces, "")
    return table
