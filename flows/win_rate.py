"""`make win-rate`: how often a model's answers are better than another's, by a judge, and what else changed."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from flows import full_run
from flows.evaluate import bring_up_to_date, show_running
from flows.pipeline import LOGS, only_one
from flows.screen import Screen
from flows.summary_table import WIDTH
from tasks import stage as edge
from tasks.comparison.win_rate import match as matches
from tasks.comparison.win_rate import plan, words
from tasks.comparison.win_rate.judges import people
from tasks.comparison.win_rate.judges.chosen import Request
from tasks.comparison.win_rate.match import Match
from tasks.inference.engine.lifetime import keeping

if TYPE_CHECKING:
    from rich.table import Table

    from tasks.comparison.win_rate.result import Result


def run(request: Request) -> None:
    """Bring both models' answers up to date, have them judged, and show the result."""
    with Screen() as screen:
        screen.keep_log(LOGS / f"win-rate-{request.model}.log")
        screen.begin("checking params.yaml and the data")
        params = full_run.checked(request.model, screen.say)
        request = plan.completed(params, request)
        plan.chosen(params, request)
        if request.file or request.reader:
            screen.say(people.read_in(request))
        if request.against in params.models:
            params = full_run.checked(request.against, screen.say)
        with only_one(), keeping() as keeper:
            for target in plan.stages(params, request):
                bring_up_to_date(target, screen, keeper)
            match = plan.match(params, request)
            keeper.hold()
            for step in matches.steps(match):
                show_running(step.name, screen, step.run)
    show(match, matches.load(match))


def show(match: Match, of: "Result") -> None:
    """Print the verdict, the figures of both models, and where the page is."""
    from rich.console import Console

    model, against = match.model.name, match.against.name
    console = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else WIDTH)
    console.print(f"\n{words.headline(model, against, of)}.", markup=False)
    console.print(words.sentence(model, against, of), markup=False)
    console.print(_table(model, against, of))
    for remark in of["remarks"]:
        print(remark)
    print(f"answers side by side: {match.folder / matches.PAGE}", flush=True)


def _table(model: str, against: str, of: "Result") -> "Table":
    from rich.table import Table

    title = f"both on {of['prompts']} prompts; in brackets {100 * of['confidence']:g} % intervals"
    table = Table(title=title, title_justify="left")
    table.add_column("figure")
    for name in (model, against):
        table.add_column(name, justify="right")
    for part in of["parts"]:
        held_out = " (held out)" if part["weight"] is None else ""
        table.add_row(f"{part['name']}{held_out}", f"{part['model']:.3f}", f"{part['against']:.3f}")
    table.add_section()
    for line in words.lines(of):
        cells = (f"{value} ({spread})" if spread else value for value, spread in (line.model, line.against))
        table.add_row(line.what, *cells)
    return table


def main() -> None:
    """`python -m flows.win_rate triage_dpo triage --by rubric`."""
    parser = argparse.ArgumentParser(prog="python -m flows.win_rate", description=run.__doc__)
    parser.add_argument("model", help="a row of `models` in params.yaml")
    parser.add_argument("against", help="another model, or a base")
    parser.add_argument("--by", default="rubric", help=f"the kind of judge: {', '.join(plan.JUDGES)}")
    parser.add_argument("--with", default="", dest="using", help="which judge of that kind: a row of params.yaml")
    parser.add_argument("--on", default="", help="the dataset whose test rows are the prompts")
    parser.add_argument("--rows", type=int, help="at most so many prompts")
    parser.add_argument("--temperature", type=float, default=0.0, help="of the answers; 0: the likeliest tokens")
    parser.add_argument("--seed", type=int, default=42, help="of answers at a temperature")
    parser.add_argument("--file", type=Path, help="a sheet that came back (--by people)")
    parser.add_argument("--reader", default="", help="who read it")
    parser.add_argument("--model-read", action="store_true", dest="is_model", help="the reader is a model, no person")
    options = parser.parse_args()
    sys.exit(edge.guarded(lambda: run(Request(**vars(options)))))


if __name__ == "__main__":
    main()
