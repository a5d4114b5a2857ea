"""`make lr-find`: the learning rate that a range test on a model's own rows suggests."""

import argparse
import sys

from flows import dag, full_run
from flows.evaluate import bring_up_to_date, show_running
from flows.pipeline import LOGS, only_one
from flows.screen import Screen
from tasks import stage as edge
from tasks.inference.engine.lifetime import keeping
from tasks.lr_find import find, page, range_test
from tasks.lr_find.range_test import Range


def run(model: str, rates: Range) -> None:
    """Bring what `model` is trained from up to date, do the test, and say what it suggests; nothing of the model's
    own is touched.
    """
    shown: list[page.Shown] = []

    def test() -> bool:
        shown.append(find.find(model, row, rates))
        return True

    with Screen() as screen:
        screen.keep_log(LOGS / f"lr-find-{model}.log")
        screen.begin("checking params.yaml and the data")
        params = full_run.checked(model, screen.say)
        row = params.models[model]
        range_test.refuse(row.train, rates)
        with only_one(), keeping() as keeper:
            for target in inputs(model):
                bring_up_to_date(target, screen, keeper)
            show_running(f"lr_find@{model}", screen, test)
    print(f"\n{page.headline(shown[0])}. {page.sentence(shown[0])}")
    print(f"the curve: {find.folder(model) / find.PAGE}", flush=True)


def inputs(model: str) -> list[str]:
    """The stages of `train` but itself, that are not up to date."""
    return [name for name in dag.pending(f"train@{model}") if name != f"train@{model}"]


def main() -> None:
    """`python -m flows.lr_find triage --steps 100`."""
    usual = Range()
    parser = argparse.ArgumentParser(prog="python -m flows.lr_find", description=run.__doc__)
    parser.add_argument("model", help="a row of `models` in params.yaml")
    parser.add_argument("--low", type=float, default=usual.low, help="the first rate")
    parser.add_argument("--high", type=float, default=usual.high, help="the last rate")
    parser.add_argument("--steps", type=int, default=usual.steps, help="steps from one to the other")
    options = parser.parse_args()
    sys.exit(edge.guarded(lambda: run(options.model, Range(options.low, options.high, options.steps))))


if __name__ == "__main__":
    main()
