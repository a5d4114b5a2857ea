"""`make sweep`: tries settings of a training, trains the best in full, and says which are worth keeping."""

import argparse
import sys
from pathlib import Path

from flows import full_run, sweep_experiments
from flows.evaluate import bring_up_to_date, show_running
from flows.lr_find import inputs
from flows.pipeline import LOGS, only_one
from flows.screen import Screen
from tasks import paths
from tasks import stage as edge
from tasks.errors import ParamsError
from tasks.inference.engine.lifetime import keeping
from tasks.params import Params
from tasks.preflight import sweeps as preflight
from tasks.sweeps import run as sweeps
from tasks.sweeps import words
from tasks.sweeps.outcome import Outcome
from tasks.sweeps.page import PAGE
from tasks.sweeps.place import Place, place_of


def run(model: str) -> None:
    """Bring what trainings of the row `model` read up to date, sweep, and show the result."""
    outcomes: list[Outcome] = []

    def sweep() -> bool:
        outcomes.append(sweeps.run(place_in(params, model), screen.say))
        return True

    with Screen() as screen:
        screen.keep_log(LOGS / f"sweep-{model}.log")
        screen.begin("checking params.yaml and the data")
        params = full_run.checked(model, screen.say)
        check(params, model)
        with only_one(), keeping() as keeper:
            for target in inputs(model):
                bring_up_to_date(target, screen, keeper)
            screen.expect((), (f"sweep@{model}",), 0)
            show_running(f"sweep@{model}", screen, sweep)
    (outcome,) = outcomes
    sweep_experiments.record(outcome)
    print(f"{words.sentence(outcome)}\nits page: {report(model) / PAGE}", flush=True)


def check(params: Params, model: str) -> None:
    """ParamsError if params.yaml has no sweep of the row `model`, or one that cannot work."""
    if model not in params.sweeps:
        raise ParamsError(
            f"params.yaml: sweeps.{model} is missing; add it: the settings to try (`space`), how many trials, and "
            "of how many seconds."
        )
    for problem in preflight.problems(params, model):
        raise ParamsError(f"params.yaml: {problem}")


def place_in(params: Params, model: str) -> Place:
    """Where the sweep of a row reads and writes; its name has the hash of what it trains on, so that must be there."""
    row = params.models[model]
    parent, prepared = paths.weights(row.parent), paths.prepared(row.dataset)
    return place_of(model, params.sweeps[model], row.train, parent, prepared, report(model))


def report(model: str) -> Path:
    """The folder of a sweep's result and page."""
    return paths.reports(model) / "sweep"


def main() -> None:
    """`python -m flows.sweep triage`."""
    parser = argparse.ArgumentParser(prog="python -m flows.sweep", description=run.__doc__)
    parser.add_argument("model", help="a row of `sweeps` and of `models` in params.yaml")
    options = parser.parse_args()
    sys.exit(edge.guarded(lambda: run(options.model)))


if __name__ == "__main__":
    main()
