"""`make evaluate`: compares a model with all alternatives, including those too slow for `make pipeline`."""

import argparse
import sys
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from flows import dag, full_run
from flows.pipeline import LOGS, only_one
from flows.pipeline_flow import hold_or_release
from flows.screen import Screen
from flows.stage_failed import StageBroke
from flows.summary_table import WIDTH
from tasks import paths
from tasks import stage as edge
from tasks.comparison.contestants import CONTESTANTS, TUNED
from tasks.comparison.further import comparison, steps
from tasks.comparison.further.comparison import Comparison
from tasks.comparison.further.place import Place
from tasks.comparison.paces import cascade_reports
from tasks.comparison.worth import figure, margin
from tasks.inference.engine.lifetime import Keeper, keeping
from tasks.params import Params
from tasks.stages.evaluate.paired import Rival

if TYPE_CHECKING:
    from rich.table import Table

MIN_P = 0.0001  # a smaller p is not printed


def run(model: str) -> None:
    """Bring the answers of the row `model` up to date, hear the further contestants, and show who stands where."""
    with Screen() as screen:
        screen.keep_log(LOGS / f"evaluate-{model}.log")
        screen.begin("checking params.yaml and the data")
        params = full_run.checked(model, screen.say)
        with only_one(), keeping() as keeper:
            bring_up_to_date(f"evaluate@{model}", screen, keeper)
            place = place_of(params, model)
            keeper.hold()
            for step in steps.of(place):
                show_running(f"{step.name}@{model}", screen, step.run)
    show(model, comparison.load(place))
    print(f"full comparison: {comparison.file(place)}", flush=True)


def place_of(params: Params, model: str) -> Place:
    """Return where the further contestants of a row read and write."""
    row = params.models[model]
    parent, encoder = paths.weights(row.parent), paths.weights(row.probe.encoder)
    prepared, reports = paths.prepared(row.dataset), paths.reports(model)
    return Place(parent, encoder, prepared, reports, row.predict, row.evaluate, cascade_reports(params, model))


def bring_up_to_date(target: str, screen: Screen, keeper: Keeper) -> None:
    """Run what `target` needs and itself, where they are not up to date, showing each stage while it runs."""
    every, pending = dag.stages(target), dag.pending(target)
    screen.expect(pending, [], len(every) - len(pending))
    for name in pending:
        hold_or_release(keeper, name.partition("@")[0])
        show_running(name, screen, partial(_run, name, screen))


def _run(name: str, screen: Screen) -> bool:
    """Bring a stage up to date; return whether it ran."""
    try:
        return not dag.is_up_to_date(name) and dag.run(name, screen.hear)
    except StageBroke:
        screen.fail()
        raise


def show_running(name: str, screen: Screen, work: Callable[[], bool]) -> None:
    """Do `work`, showing `name` while it runs."""
    screen.begin(name)
    screen.end(name, work())


def show(model: str, compared: Comparison) -> None:
    """Print the verdict, then the contestants on each label and overall, best first."""
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else WIDTH)
    console.print(f"\n{model}: {compared['sentence']}", markup=False)
    console.print(_table(compared))
    for who, how in compared["chosen"].items():
        console.print(f"{CONTESTANTS[who].rival}: {how}", markup=False)
    for who, reason in compared["unanswered"].items():
        console.print(f"{CONTESTANTS[who].rival}: left out, because {reason}", markup=False)


def _table(compared: Comparison) -> "Table":
    from rich.table import Table

    title = f"{compared['rows']} held-out rows: the tuned model's lead; p that it is no better"
    table = Table(title=title, title_justify="left")
    for name in ("of", "contestant"):
        table.add_column(name)
    for name in ("value", "lead", f"{100 * compared['confidence']:g} % interval", "p", "seconds per answer"):
        table.add_column(name, justify="right")
    for contest in compared["contests"]:
        measure, others = contest["measure"], contest["others"]
        values = {TUNED: contest["tuned"], **{who: rival["value"] for who, rival in others.items()}}
        best_first = sorted(values, key=values.__getitem__, reverse=contest["higher_is_better"])
        for number, who in enumerate(best_first):
            cells = [CONTESTANTS[who].rival, figure(values[who], measure), *_lead(others.get(who), measure)]
            pace = f"{compared['seconds_per_answer'][who]:.3f}"
            table.add_row("" if number else contest["what"], *cells, pace)
        table.add_section()
    return table


def _lead(rival: Rival | None, measure: str) -> tuple[str, str, str]:
    if rival is None:
        return "", "", ""
    low, high = (margin(end, measure) for end in rival["interval"])
    p = f"{rival['p']:.4f}" if rival["p"] >= MIN_P else f"< {MIN_P}"
    return margin(rival["lead"], measure), f"{low} to {high}", p


def main() -> None:
    """`python -m flows.evaluate triage`."""
    parser = argparse.ArgumentParser(prog="python -m flows.evaluate", description=run.__doc__)
    parser.add_argument("model", help="a row of `models` in params.yaml")
    options = parser.parse_args()
    sys.exit(edge.guarded(lambda: run(options.model)))


if __name__ == "__main__":
    main()
