"""Artifacts of stages and steps in the Prefect UI: tables and markdown from the reports on disk."""

from tasks import paths
from tasks.comparison import contestants
from tasks.files import read_json
from tasks.steps.gate import GateVerdict


def publish(stage: str) -> None:
    """Publish the artifact of a stage that has one: validate and prepare (rows), evaluate (each contestant)."""
    from prefect.artifacts import create_table_artifact

    family, _, row = stage.partition("@")
    key = f"{family}-{row}".replace("_", "-")
    if family in ("validate", "prepare"):
        figures = read_json(paths.reports(row) / f"{family}.json")
        create_table_artifact(
            [{"figure": name, "value": str(value)} for name, value in figures.items()],
            key=key,
            description=f"{family} {row}",
        )
    if family == "evaluate":
        folder = paths.evaluation(paths.reports(row))
        metrics, intervals = (read_json(folder / f"{name}.json") for name in ("metrics", "intervals"))
        table = [
            {
                "measure": name,
                **{
                    who: figure(metrics[who].get(name), intervals[who].get(name))
                    for who in contestants.with_figures(metrics)
                },
            }
            for name in metrics["tuned"]
        ]
        create_table_artifact(table, key=key, description=f"{row} on {metrics['rows']} held-out rows")


def figure(value: float | None, interval: list[float] | None) -> str:
    """Return a value and its interval as text; a dash if it was not measured."""
    if value is None or interval is None:
        return "–"
    return f"{value:.3f} [{interval[0]:.3f}, {interval[1]:.3f}]"


def publish_verdict(model: str, verdict: GateVerdict) -> None:
    """Publish the gate's verdict with its reasons."""
    from prefect.artifacts import create_markdown_artifact

    reasons = "\n".join(f"- {reason}" for reason in verdict.reasons)
    create_markdown_artifact(
        f"## {'Passed' if verdict.passed else 'Refused'}\n\n{reasons}\n",
        key=f"gate-{model}".replace("_", "-"),
        description=f"gate of {model}",
    )
