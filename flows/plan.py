"""`make plan`: what the training of a model will come to, before it begins, and advice on its settings."""

import argparse
import sys

from flows import dag, full_run
from flows.evaluate import bring_up_to_date, show_running
from flows.pipeline import LOGS, only_one
from flows.screen import Screen
from tasks import stage as edge
from tasks.inference.engine.lifetime import keeping
from tasks.plan import advice, past, program, words
from tasks.plan.result import Result


def run(model: str) -> None:
    """Bring what `model` is trained from up to date, try a few of its steps, and print the plan; nothing of the model's
    own is touched.
    """
    made: list[Result] = []

    def attempt() -> bool:
        made.append(program.dry_run(model, row))
        return True

    with Screen() as screen:
        screen.keep_log(LOGS / f"plan-{model}.log")
        screen.begin("checking params.yaml and the data")
        params = full_run.checked(model, screen.say)
        row = params.models[model]
        with only_one(), keeping() as keeper:
            for target in [name for name in dag.pending(f"train@{model}") if name != f"train@{model}"]:
                bring_up_to_date(target, screen, keeper)
            show_running(f"plan@{model}", screen, attempt)
    (result,) = made
    known = past.last(program.CHECKPOINTS / model, past.key(row.train, result.amounts))
    print("\n" + "\n".join(words.lines(model, row.train, result, known)))
    for sentence in advice.given(row.train, result):
        print(f"advice: {sentence}", flush=True)


def main() -> None:
    """`python -m flows.plan triage`."""
    parser = argparse.ArgumentParser(prog="python -m flows.plan", description=run.__doc__)
    parser.add_argument("model", help="a row of `models` in params.yaml")
    options = parser.parse_args()
    sys.exit(edge.guarded(lambda: run(options.model)))


if __name__ == "__main__":
    main()
